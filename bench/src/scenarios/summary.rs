//! Summaries and lists over a million events of thirty days, and over ten million.

use bytes::Bytes;
use prost::Message as _;
use rand::Rng as _;
use sqlx::Connection as _;
use tollgate_proto::v1;
use tollgate_stage::Ground;

use super::Bench;
use crate::figures::{Goal, Row};
use crate::history::History;
use crate::ledger::{self, Budgets};
use crate::load::{Caller, Done, drive};
use crate::population::Population;
use crate::rounds::{Ratio, Series};
use crate::stage::{Product, connect};
use crate::statistics::{milliseconds, per, rate};
use crate::wire::{Connections, Wire};

/// Milliseconds at ten million events.
const ONE_DIMENSION: Goal = Goal::AtMost(20.0);
const TWO_DIMENSIONS: Goal = Goal::AtMost(200.0);
const LAST_EVENTS: Goal = Goal::AtMost(5.0);
/// Of the median at a tenth of the events.
const GROWTH: Goal = Goal::RatioAtMost(1.3);
/// Events, unless told otherwise; with `--large` ten times as many are measured, too.
const EVENTS: u64 = 1_000_000;
const LARGE: u64 = 10;
/// Sessions whose last events are asked for, and how many of these.
const SESSIONS: usize = 1_000;
const LAST: i32 = 50;

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let product = bench.stage.product(1).await?;
    Budgets::Three.create(&product.url(0)?).await?;
    let mut history = History::new(bench.options.seed)?;
    let few = bench.options.events.unwrap_or(EVENTS);
    record(bench, &product, &mut history, few).await?;
    let small = ask(bench, &product, &history).await?;
    if bench.options.large {
        record(bench, &product, &mut history, few * (LARGE - 1)).await?;
        let large = ask(bench, &product, &history).await?;
        for ((question, before), (_, after)) in small.into_iter().zip(large) {
            let growth = per(after, before);
            let ratio = Ratio { median: growth, low: growth, high: growth };
            bench.add(
                Row::new(format!("summary growth, {question}"), milliseconds(after), "ms p50")
                    .beside(format!("{few} events"), milliseconds(before), ratio)
                    .against(GROWTH),
            )?;
        }
    }
    bench.stage.end(product).await
}

async fn record(bench: &mut Bench<'_>, product: &Product, history: &mut History, events: u64) -> anyhow::Result<()> {
    bench.tell(format!("recording {events} events of thirty days"));
    let took = history.record(&product.url(0)?, events).await?;
    ledger::require_events(&product.ground, history.events()).await?;
    bench.add(
        Row::new("summary, recording", rate(events, took), "events/s").note("thirty days, batches of 500, 4 callers"),
    )?;
    // What autovacuum does in those thirty days.
    vacuum(&product.ground).await
}

async fn vacuum(ground: &Ground) -> anyhow::Result<()> {
    let mut connection = connect(ground).await?;
    sqlx::query("VACUUM ANALYZE").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Asks every question again and again; gives the median answer times in microseconds.
async fn ask(bench: &mut Bench<'_>, product: &Product, history: &History) -> anyhow::Result<Vec<(String, u64)>> {
    let url = product.url(0)?;
    let mut medians = Vec::new();
    for question in questions(bench, history) {
        let name = question.name.clone();
        bench.tell(format!("{name}, {} events", history.events()));
        let wire = Connections::open(&url, 1).await?.nth(0)?;
        let goal = question.goal;
        let asker = Asker { wire, question, next: 0 };
        let mut series = Series::default();
        series.push(drive(vec![asker], bench.options.span(), product.watched(bench.stage)).await?);
        medians.push((name.clone(), series.quantile(0.5)));
        let row = Row::rate(format!("summary, {name}"), &series, "ms p99");
        let row = Row { value: milliseconds(series.quantile(0.99)), ..row };
        let row = row.note(format!("{} events; {:.0} a second from one caller", history.events(), series.rate()));
        bench.add(match goal {
            Some(goal) => row.against(goal),
            None => row,
        })?;
    }
    Ok(medians)
}

/// What is asked.
struct Question {
    name: String,
    goal: Option<Goal>,
    messages: Messages,
}

enum Messages {
    Summary(Bytes),
    /// Different ones, in turn.
    List(Vec<Bytes>),
}

fn questions(bench: &Bench<'_>, history: &History) -> Vec<Question> {
    let one = ["user_id", "agent_id", "project_id", "model"].map(|dimension| Question {
        name: format!("by {dimension}"),
        goal: Some(ONE_DIMENSION),
        messages: summary(history, &[dimension], |_| {}),
    });
    let two = Question {
        name: "by user_id and model, one team".to_owned(),
        goal: Some(TWO_DIMENSIONS),
        messages: summary(history, &["user_id", "model"], |request| request.filter = vec![is("team_id", "team-3")]),
    };
    let days = Question {
        name: "by agent_id and day in Asia/Kolkata".to_owned(),
        goal: None,
        messages: summary(history, &["agent_id"], |request| {
            request.granularity = v1::Granularity::Day.into();
            request.time_zone = "Asia/Kolkata".to_owned();
        }),
    };
    let mut rng = bench.rng();
    let last = (0..SESSIONS).map(|_| {
        let session = usize::try_from(rng.random_range(0..history.sessions().max(1))).unwrap_or_default();
        let request = v1::ListUsageRequest {
            filter: vec![is("session_id", &Population::session_id(session))],
            page_size: LAST,
            ..Default::default()
        };
        request.encode_to_vec().into()
    });
    let list = Question {
        name: format!("last {LAST} of a session"),
        goal: Some(LAST_EVENTS),
        messages: Messages::List(last.collect()),
    };
    one.into_iter().chain([two, days, list]).collect()
}

fn summary(history: &History, dimensions: &[&str], change: impl FnOnce(&mut v1::GetSummaryRequest)) -> Messages {
    let (start, end) = history.range();
    let mut request = v1::GetSummaryRequest {
        start_time: Some(start),
        end_time: Some(end),
        group_by: dimensions.iter().map(|name| key(name)).collect(),
        ..Default::default()
    };
    change(&mut request);
    Messages::Summary(request.encode_to_vec().into())
}

fn key(name: &str) -> v1::DimensionKey {
    v1::DimensionKey { name: name.to_owned(), label: String::new() }
}

fn is(name: &str, value: &str) -> v1::DimensionMatch {
    v1::DimensionMatch { key: Some(key(name)), values: vec![value.to_owned()], ..Default::default() }
}

struct Asker {
    wire: Wire,
    question: Question,
    next: usize,
}

impl Caller for Asker {
    async fn call(&mut self) -> anyhow::Result<Done> {
        match &self.question.messages {
            Messages::Summary(message) => {
                let answer = self.wire.summary(message.clone()).await?;
                anyhow::ensure!(!answer.rows.is_empty(), "a summary is empty");
            }
            Messages::List(messages) => {
                let index = self.next % messages.len().max(1);
                self.next = index + 1;
                let message = messages.get(index).cloned().unwrap_or_default();
                let answer = self.wire.list(message).await?;
                anyhow::ensure!(!answer.records.is_empty(), "a session is empty");
            }
        }
        Ok(Done::of(1))
    }
}
