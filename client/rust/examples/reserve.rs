//! Holds what a call may cost before it runs, and settles it with what it used.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use tollgate_client::{BudgetBuilder, CheckRequest, Client, Decimal, Error, Event, Window, dimension};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = connect()?;
    create_budget(&client).await?;

    let request = CheckRequest::reserve(("openai", "gpt-4o"))
        .session("example")
        .user("user-7")
        .input_tokens(1_200)
        .max_output_tokens(500);
    let mut reserved = match client.reserve(request).await {
        Ok(reserved) => reserved,
        Err(Error::NotAllowed(answer)) => {
            println!("the call may not run: {answer}");
            for budget in answer.refusing_budgets() {
                println!("  {} has {} of {} left", budget.budget_id, budget.available, budget.effective_limit);
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    println!("holding {}", reserved.reservation_id());

    reserved.mark_dispatched();
    reserved.start_heartbeat();
    tokio::time::sleep(Duration::from_millis(200)).await; // the LLM call

    let receipt = reserved.settle(Event::chat("openai", "gpt-4o").session("example").tokens(1_180, 342)).await?;
    println!("settled as {}", receipt.event_id());
    Ok(())
}

/// A user may spend a dollar a day.
async fn create_budget(client: &Client) -> Result<(), Error> {
    let budget = BudgetBuilder::usd("example-daily", 1, Window::day("UTC"))
        .per(dimension("user_id"))
        .alert_at(Decimal::new(8, 1))
        .hard();
    match client.create_budget(budget).await {
        Ok(_) => Ok(()),
        Err(error) if error.reason() == "BUDGET_ALREADY_EXISTS" => Ok(()),
        Err(error) => Err(error),
    }
}

fn connect() -> Result<Client, Error> {
    let url = std::env::var("TOLLGATE_URL").unwrap_or_else(|_| "http://127.0.0.1:4747".to_owned());
    let builder = Client::builder(url).user_agent("tollgate-example/1");
    match std::env::var("TOLLGATE_API_KEY") {
        Ok(key) => builder.api_key(key).connect_lazy(),
        Err(_) => builder.connect_lazy(),
    }
}
