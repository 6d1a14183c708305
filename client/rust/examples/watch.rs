//! Shows the running totals of a session, and of each agent in it, live.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use futures::StreamExt;
use tollgate_client::v1::group_value::Kind;
use tollgate_client::{Client, Error, Scope, dimension, format_totals, v1};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let session = std::env::args().nth(1).unwrap_or_else(|| "example".to_owned());
    let scope = Scope::session(session).breakdown(dimension("agent_name"), 10);
    let mut updates = connect()?.watch([scope]);
    while let Some(update) = updates.next().await {
        for scope in update?.scopes {
            println!("{}", format_totals(&scope.totals.unwrap_or_default()));
            for part in scope.parts {
                println!("    {}: {}", name(part.group.as_ref()), format_totals(&part.totals.unwrap_or_default()));
            }
        }
    }
    Ok(())
}

fn name(group: Option<&v1::GroupValue>) -> &str {
    match group.and_then(|group| group.kind.as_ref()) {
        Some(Kind::Value(value)) => value,
        Some(Kind::Other(_)) => "others",
        Some(Kind::Absent(_)) | None => "no agent",
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
