//! Every event has labels, an agent, a task and a model that nobody has had before: what the server and its tables keep of them
//! stays bounded, and the sums stay right.

use futures::StreamExt as _;
use rand::Rng as _;
use sqlx::{ConnectOptions as _, PgConnection};
use tollgate_client::v1;

use super::trial::Trial;
use crate::caller::Answer;
use crate::report::Report;
use crate::requests::{event, id_of};
use crate::stage::Stage;

/// Events of one batch.
const BATCH: usize = 500;
/// Batches under way at once.
const AT_ONCE: usize = 4;
/// Most tries of one batch.
const TRIES: usize = 50;
const MEMORY_LIMIT: u64 = 256 << 20;
/// What the configuration allows by default.
const VALUES_LIMIT: i64 = 10_000;
const SHAPES_LIMIT: i64 = 60_001;
/// Dimensions of the shape that are made up: agent, task and model. A batch that was under way may add as many again.
const MADE_UP: i64 = 3;

/// So many batches of made-up names.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let batches = stage.rounds(60, 2_000);
    let mut report = Report::default();
    let bar = stage.progress("label-bomb", batches);
    let mut trial = Trial::open(stage, 0, 1, true).await?;
    let salt: u32 = trial.rng.random();
    let sent = futures::stream::iter(0..batches)
        .map(|number| send(&trial, made_up(salt, number), &bar))
        .buffer_unordered(AT_ONCE)
        .count()
        .await;
    report.faults = u64::try_from(sent)?;

    let mut connection = trial.ground.options.connect().await?;
    let shapes = count(&mut connection, "SELECT count(*) FROM shape").await?;
    let sheets = count(&mut connection, "SELECT count(*) FROM price_sheet").await?;
    let values = count(&mut connection, "SELECT count(*) FROM symbol WHERE dimension IN (18, 27, 43)").await?;
    report.note(format!("{} events: {shapes} shapes, {values} names, {sheets} price sheets", batches * BATCH));
    if shapes > SHAPES_LIMIT
        || values > MADE_UP * (VALUES_LIMIT + 2 * i64::try_from(BATCH)?)
        || sheets > VALUES_LIMIT * 2
    {
        report.violations.push("the dictionaries grew beyond their limits".to_owned());
    }
    for replica in &trial.replicas {
        let peak = replica.highest_resident_bytes()?;
        if peak > MEMORY_LIMIT {
            report.violations.push(format!("the server had {} MiB in memory", peak >> 20));
        }
        report.note(format!("the server had {} MiB in memory at most", peak >> 20));
    }
    trial.close(&mut report).await?;
    Ok(report)
}

fn made_up(salt: u32, number: usize) -> Vec<v1::UsageEvent> {
    let one = |place: usize| {
        let name = format!("{salt:08x}-{}", number * BATCH + place);
        let mut event = event(None, &format!("session-{}", place % 64), 10);
        let dimensions = event.dimensions.get_or_insert_default();
        dimensions.agent_name = format!("agent-{name}");
        dimensions.task_name = format!("task-{name}");
        dimensions.labels.insert("request".to_owned(), name.clone());
        // A local runtime's models are free, whatever they are called: each name would be a price sheet.
        let model = event.request_model.get_or_insert_default();
        (model.provider_name, model.model) = ("ollama".to_owned(), format!("model-{name}"));
        event
    };
    (0..BATCH).map(one).collect()
}

/// Sends the events until each is recorded.
async fn send(trial: &Trial<'_>, mut open: Vec<v1::UsageEvent>, bar: &indicatif::ProgressBar) {
    use v1::batch_record_usage_response::item::Item;
    open.iter().for_each(|event| trial.history.intend(event));
    for _ in 0..TRIES {
        if let Answer::Acked(answer) = trial.service.nth(0).record_batch(open.clone()).await {
            let mut again = Vec::new();
            for (event, item) in open.into_iter().zip(answer.items) {
                match item.item {
                    Some(Item::Ok(_)) => id_of(&event).into_iter().for_each(|id| trial.history.acked(id)),
                    Some(Item::Error(error)) if error.retryable => again.push(event),
                    Some(Item::Error(error)) => {
                        trial.history.broken(format!("an event was refused: {}", error.message));
                    }
                    None => trial.history.broken("an item of a batch has no answer".to_owned()),
                }
            }
            open = again;
        }
        if open.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    bar.inc(1);
}

async fn count(connection: &mut PgConnection, statement: &'static str) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(statement).fetch_one(connection).await?)
}
