//! Records many calls in the background, and waits for them only at the end.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]
#![expect(clippy::print_stderr, reason = "an example shows what it does")]

use std::time::Duration;

use tollgate_client::{Client, Error, Event, Recorder};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let recorder =
        Recorder::builder(connect()?).on_rejected(|rejection| eprintln!("not recorded: {}", rejection.refusal)).start();
    for call in 0..1_000 {
        // Neither waits nor fails, whatever Tollgate does.
        recorder.record(Event::chat("anthropic", "claude-sonnet-4-5").session("example").tokens(800 + call, 120));
    }
    let counts = recorder.shutdown(Duration::from_secs(10)).await?;
    println!("{} recorded, {} rejected, {} dropped", counts.recorded, counts.rejected, counts.dropped);
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
