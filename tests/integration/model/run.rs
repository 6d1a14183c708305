//! Runs a program on both sides and compares.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::Timestamp;
use rust_decimal::Decimal;
use sqlx::{PgPool, Row as _};
use tollgate_domain::budget::model::{Answer, CounterKey, Event, Model, Operation, Tally};
use tollgate_proto::v1;
use tollgate_server::config::Config;

use super::generate::{Kind, Program, Round};
use super::wire::{event_of, receipt, send, standing};
use super::world::{beginning, rates, stop_clock};
use crate::harness::{TestServer, database};

/// Most answers that a message shows.
const MOST_WORDS: usize = 6;

/// Both sides.
struct Scene {
    servers: Vec<TestServer>,
    pool: PgPool,
    /// What may be the state: several orders of a burst can explain the same answers.
    models: Vec<Model>,
}

/// Runs the program; says how both sides differ, where they do.
pub(super) async fn run(program: &Program) -> Result<(), String> {
    let options = database().await;
    stop_clock(&options, beginning()).await;
    let first = TestServer::over(options, &Config::default()).await;
    let pool = first.pool();
    let mut servers = vec![first];
    if program.kind == Kind::AtOnce {
        let replica = servers[0].replica().await;
        servers.push(replica);
    }
    let mut scene = Scene { servers, pool, models: vec![Model::new(beginning(), rates())] };
    for (place, round) in program.rounds.iter().enumerate() {
        let told = scene.round(round).await;
        told.map_err(|difference| format!("round {place}, {round:?}: {difference}"))?;
        for model in &scene.models {
            if let Some(broken) = model.broken_invariant() {
                return Err(format!("round {place}, {round:?}: the model itself: {broken}"));
            }
        }
    }
    scene.compare_state().await?;
    scene.servers[0].assert_audit_holds().await;
    Ok(())
}

impl Scene {
    async fn round(&mut self, round: &Round) -> Result<(), String> {
        match round {
            Round::Alone(operation) => self.burst(std::slice::from_ref(operation)).await,
            Round::Burst(operations) => self.burst(operations).await,
            Round::Clock(now) => {
                self.move_clock(*now).await;
                Ok(())
            }
            Round::Batch(events) => self.batch(events).await,
        }
    }

    async fn move_clock(&mut self, now: Timestamp) {
        sqlx::query("UPDATE stopped_clock SET at = $1::text::timestamptz")
            .bind(now.to_string())
            .execute(&self.pool)
            .await
            .unwrap();
        let mut due: Vec<uuid::Uuid> = Vec::new();
        for model in &mut self.models {
            model.apply(&Operation::Clock(now));
            due.extend(model.due());
        }
        // The sweeper finds them, too, by and by: nobody waits for it.
        for id in due {
            send(&self.servers[0], &Operation::Expire(id)).await;
            self.models.iter_mut().for_each(|model| drop(model.apply(&Operation::Expire(id))));
        }
    }

    /// Keeps every state that some order of these operations leads to, with these answers.
    async fn burst(&mut self, operations: &[Operation]) -> Result<(), String> {
        let sent = operations.iter().enumerate().map(|(place, operation)| {
            let server = &self.servers[place % self.servers.len()];
            send(server, operation)
        });
        let answers = join_all(sent).await;
        let steps: Vec<(&Operation, &Answer)> = operations.iter().zip(&answers).collect();
        let mut explained = Vec::new();
        let mut nearest = Nearest::default();
        for model in &self.models {
            explain(model, &steps, &mut Vec::new(), &mut explained, &mut nearest);
        }
        if explained.is_empty() {
            return Err(nearest.words.join("\n"));
        }
        self.models = explained;
        Ok(())
    }

    /// Keeps every state in which a batch has these answers. Its events name no reservation: their order changes nothing in the
    /// end.
    async fn batch(&mut self, events: &[Event]) -> Result<(), String> {
        let request = v1::BatchRecordUsageRequest {
            events: events.iter().map(event_of).collect(),
            view: v1::ResponseView::Cost.into(),
        };
        let answer = self.servers[0].usage.clone().batch_record_usage(request).await.unwrap().into_inner();
        let mut told = Vec::new();
        for item in answer.items {
            let Some(v1::batch_record_usage_response::item::Item::Ok(answer)) = item.item else {
                return Err(format!("{item:?}"));
            };
            let receipt = receipt(answer);
            told.push((receipt.duplicate, receipt.usd, receipt.charge_time));
        }
        let mut explained = Vec::new();
        let mut words = Vec::new();
        for model in &self.models {
            let mut next = model.clone();
            let mut expected = Vec::new();
            for event in events {
                if let Answer::Recorded(receipt) = next.apply(&Operation::Record(event.clone())) {
                    expected.push((receipt.duplicate, receipt.usd, receipt.charge_time));
                }
            }
            if expected == told {
                explained.push(next);
            } else {
                words.push(format!("the model says\n{expected:?}\nthe server\n{told:?}"));
            }
        }
        if explained.is_empty() {
            return Err(words.join("\n"));
        }
        self.models = explained;
        Ok(())
    }

    /// Counters and reservations are those of one of the states that explain all answers.
    async fn compare_state(&self) -> Result<(), String> {
        let stored = tallies(&self.pool).await;
        let mut difference = String::new();
        for model in &self.models {
            if *model.tallies() != stored {
                difference = format!("the model's counters\n{:#?}\nthe database's\n{stored:#?}", model.tallies());
                continue;
            }
            let mut agree = true;
            for (id, phase, holds) in model.reservations() {
                let found = standing(&self.servers[0], id).await;
                if found != (phase, holds.clone()) {
                    difference = format!("reservation {id}: the model says {phase:?} {holds:?}, the server {found:?}");
                    agree = false;
                }
            }
            if agree {
                return Ok(());
            }
        }
        Err(difference)
    }
}

/// How far the best orders came, and what each of them could not explain.
#[derive(Default)]
struct Nearest {
    explained: usize,
    words: Vec<String>,
}

impl Nearest {
    fn note(&mut self, done: &[usize], operation: &Operation, expected: &Answer, answer: &Answer) {
        if done.len() > self.explained {
            self.explained = done.len();
            self.words.clear();
        }
        if done.len() == self.explained && self.words.len() < MOST_WORDS {
            let order = format!("after {done:?}, {operation:?}");
            self.words.push(format!("{order}\nthe model\n{expected:#?}\nthe server\n{answer:#?}"));
        }
    }
}

/// Tries all orders, depth first: an order is given up at the first answer that is another one.
fn explain(
    model: &Model,
    steps: &[(&Operation, &Answer)],
    done: &mut Vec<usize>,
    explained: &mut Vec<Model>,
    nearest: &mut Nearest,
) {
    if done.len() == steps.len() {
        if !explained.contains(model) {
            explained.push(model.clone());
        }
        return;
    }
    for (place, (operation, answer)) in steps.iter().enumerate() {
        if done.contains(&place) {
            continue;
        }
        let mut next = model.clone();
        let expected = next.apply(operation);
        if expected == **answer {
            done.push(place);
            explain(&next, steps, done, explained, nearest);
            done.pop();
        } else {
            nearest.note(done, operation, &expected, answer);
        }
    }
}

/// All counters as the database holds them.
async fn tallies(pool: &PgPool) -> BTreeMap<CounterKey, Tally> {
    let rows = sqlx::query(
        "SELECT budget_id, per_values ->> 0 AS value, definition -> 'window' ->> 'kind' = 'lifetime' AS lifetime,
             extract(epoch FROM window_start)::bigint AS start, extract(epoch FROM window_end)::bigint AS stop,
             spent, held, presumed, overrun, highest_limit
         FROM budget_window JOIN budget USING (tenant_id, budget_number)",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut tallies = BTreeMap::new();
    for row in rows {
        let lifetime: bool = row.get("lifetime");
        let instant = |name: &str| (!lifetime).then(|| Timestamp::from_second(row.get(name)).unwrap());
        let amount = |name: &str| -> Decimal { row.get(name) };
        let key = CounterKey { budget: row.get("budget_id"), scope: row.get("value"), start: instant("start") };
        let tally = Tally {
            spent: amount("spent"),
            held: amount("held"),
            presumed: amount("presumed"),
            overrun: amount("overrun"),
            highest: amount("highest_limit"),
            end: instant("stop"),
        };
        tallies.insert(key, tally);
    }
    tallies
}
