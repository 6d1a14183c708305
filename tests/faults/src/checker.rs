//! What must be true once everything is healed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tollgate_server::app::audit::audit;
use tollgate_server::store::dictionary::Dictionary;
use tollgate_server::tenant::TenantId;
use uuid::Uuid;

use crate::history::{History, Told};
use crate::ledger::{self, SWEEPING_SECONDS};
use crate::reader;
use tollgate_stage::Ground;

/// How long holds may take to end after the last call: the longest lead of a scenario, and the sweeper.
const HOLDS_LIMIT: Duration = Duration::from_secs(20);
/// How long a transaction may wait for the server's next word. Less than the limit after which Postgres ends it, so that a
/// leak is seen before it is mended.
const STANDING_LIMIT: Duration = Duration::from_secs(1);
/// Most ids that one violation names.
const NAMED: usize = 3;

/// Waits until every hold has ended, and compares what callers know with what is stored. Says what is violated.
pub(crate) async fn check(ground: &Ground, history: &History, exact: bool) -> anyhow::Result<Vec<String>> {
    let mut connection = ground.options.connect().await?;
    let mut violations = history.violations();
    // First: waiting for holds would outlast the servers' own limit on transactions that stand still, which hides a leak.
    violations.extend(transactions_end(&mut connection).await?);
    violations.extend(holds_end(&mut connection).await?);
    violations.extend(compare(&history.events(), ledger::events(&mut connection).await?));
    let missing = ledger::missing_holds(&mut connection, &history.holds()).await?;
    if missing > 0 {
        violations.push(format!("{missing} holds were acknowledged and are not there"));
    }
    violations.extend(reader::violations(&mut connection, exact).await?);
    violations.extend(audited(ground).await?);
    Ok(violations)
}

/// No hold outlives its expiry by more than the sweeper needs; in the end there is none.
async fn holds_end(connection: &mut PgConnection) -> anyhow::Result<Option<String>> {
    let start = Instant::now();
    // What expired while nobody could sweep is swept once everything is back.
    let sweeping = Duration::from_secs(u64::from(SWEEPING_SECONDS.unsigned_abs()));
    loop {
        let open = ledger::open_holds(connection).await?;
        let overdue = ledger::overdue_holds(connection, SWEEPING_SECONDS).await?;
        if overdue > 0 && start.elapsed() > sweeping {
            return Ok(Some(format!(
                "{overdue} holds leaked: expired more than {SWEEPING_SECONDS} s ago and still open"
            )));
        }
        if open == 0 {
            return Ok(None);
        }
        if start.elapsed() > HOLDS_LIMIT {
            return Ok(Some(format!("{open} holds are still open {HOLDS_LIMIT:?} after the last call")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// No connection stands still inside a transaction: a server that works says its next word much sooner.
async fn transactions_end(connection: &mut PgConnection) -> anyhow::Result<Option<String>> {
    let start = Instant::now();
    loop {
        let standing = ledger::standing_transactions(connection).await?;
        let Some(oldest) = standing.iter().max() else { return Ok(None) };
        if *oldest > STANDING_LIMIT {
            return Ok(Some(format!("a connection stands still inside a transaction, for {oldest:?} by now")));
        }
        if start.elapsed() > HOLDS_LIMIT {
            return Ok(Some(format!("there is no moment without a transaction {HOLDS_LIMIT:?} after the last call")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Acknowledged ⊆ stored ⊆ acknowledged ∪ unknown, each once, with what was told.
fn compare(told: &HashMap<Uuid, Told>, stored: Vec<(Uuid, i64)>) -> Vec<String> {
    let mut found: HashMap<Uuid, i64> = HashMap::with_capacity(stored.len());
    let mut twice = Vec::new();
    for (id, tokens) in stored {
        if found.insert(id, tokens).is_some() {
            twice.push(id);
        }
    }
    let lost: Vec<Uuid> =
        told.iter().filter(|(id, told)| told.acked && !found.contains_key(id)).map(|(id, _)| *id).collect();
    let invented: Vec<Uuid> = found.keys().filter(|id| !told.contains_key(id)).copied().collect();
    let altered: Vec<Uuid> = told
        .iter()
        .filter(|(id, told)| found.get(id).is_some_and(|tokens| *tokens != told.tokens))
        .map(|(id, _)| *id)
        .collect();
    [
        ("acknowledged and not stored", lost),
        ("stored twice", twice),
        ("stored and never sent", invented),
        ("stored with other tokens", altered),
    ]
    .into_iter()
    .filter(|(_, ids)| !ids.is_empty())
    .map(|(what, ids)| {
        let named: Vec<String> = ids.iter().take(NAMED).map(Uuid::to_string).collect();
        format!("{} events {what}, such as {}", ids.len(), named.join(", "))
    })
    .collect()
}

/// The server's own audit: events = totals = rollups = budgets, holds = counters.
pub(crate) async fn audited(ground: &Ground) -> anyhow::Result<Vec<String>> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(ground.options.clone()).await?;
    let report = audit(&pool, &Dictionary::default(), TenantId::LOCAL).await;
    pool.close().await;
    let report = match report {
        Ok(report) => report,
        // What is stored contradicts itself so far that it cannot be read.
        Err(error) => return Ok(vec![format!("the audit cannot be made: {error}")]),
    };
    let drifting = report.checks.iter().filter(|check| !check.holds());
    Ok(drifting
        .map(|check| {
            let example = check.comparison.examples.first();
            let example = example.map(|example| format!("{example:?}")).unwrap_or_default();
            format!("audit {}: {} rows drift, such as {example}", check.name, check.comparison.drifting)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tokens: i64, acked: bool) -> Told {
        Told { tokens, acked }
    }

    #[test]
    fn what_is_known_is_stored_once_and_what_is_stored_is_known() {
        let ids: Vec<Uuid> = (0..4).map(Uuid::from_u128).collect();
        let history = HashMap::from([(ids[0], told(1, true)), (ids[1], told(2, false)), (ids[2], told(3, false))]);
        assert_eq!(compare(&history, vec![(ids[0], 1), (ids[1], 2)]), Vec::<String>::new());
        assert!(compare(&history, vec![(ids[1], 2)]).concat().contains("1 events acknowledged and not stored"));
        assert!(compare(&history, vec![(ids[0], 1), (ids[0], 1)]).concat().contains("1 events stored twice"));
        assert!(compare(&history, vec![(ids[0], 1), (ids[3], 1)]).concat().contains("1 events stored and never sent"));
        assert!(
            compare(&history, vec![(ids[0], 1), (ids[2], 4)]).concat().contains("1 events stored with other tokens")
        );
    }
}
