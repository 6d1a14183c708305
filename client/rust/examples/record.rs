//! Records one call, and reads it back.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use tollgate_client::{Client, Error, Event, format_totals, v1};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = connect()?;
    let event = Event::chat("openai", "gpt-4o").session("example").user("user-7").tokens(1_200, 345).ended_now();
    let receipt = client.record_with_view(event, v1::ResponseView::Full).await?;
    match receipt.usd() {
        Some(usd) => println!("recorded {} for $ {usd}", receipt.event_id()),
        None => println!("recorded {}, which has no price yet", receipt.event_id()),
    }
    if let Some(totals) = receipt.session_totals() {
        println!("the session so far: {}", format_totals(totals));
    }
    let record = client.get_usage(receipt.event_id()).await?;
    println!("kept as revision {}", record.revision);
    Ok(())
}

fn connect() -> Result<Client, Error> {
    let url = std::env::var("TOLLGATE_URL").unwrap_or_else(|_| "http://127.0.0.1:4747".to_owned());
    let builder = Client::builder(url).user_agent("tollgate-example/1");
    match std::env::var("TOLLGATE_API_KEY") {
        Ok(key) => builder.api_key(key).connect_lazy(),
        Err(_) => builder.connect_lazy(),
    }
}
