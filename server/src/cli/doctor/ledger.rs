//! What the database holds: its schema, its partitions, its clock, what waits for the webhook, and what lies between.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;

use super::finding::Finding;
use crate::store::{doctor, partitions};

/// Event ids are taken this far ahead.
const IDS_AHEAD: SignedDuration = SignedDuration::from_hours(48);
/// A server makes partitions two months ahead, every six hours.
const PARTITIONS_AHEAD: SignedDuration = SignedDuration::from_hours(24 * 31);
/// Clocks that are kept by NTP agree within this.
const SKEW_SEEN: SignedDuration = SignedDuration::from_secs(1);
/// From here on callers' times are refused or counted in the wrong windows.
const SKEW_HARMFUL: SignedDuration = SignedDuration::from_secs(300);
/// A notice arrives within milliseconds.
const NOTICE_LIMIT: Duration = Duration::from_secs(3);
/// Deliveries are tried again within an hour at the latest.
const LATE: Duration = Duration::from_secs(2 * 3_600);

/// Whether the schema is this version's.
pub(super) async fn migrations(pool: &PgPool) -> Finding {
    const CHECK: &str = "database.schema";
    let found = match doctor::migrations(pool).await {
        Ok(found) => found,
        Err(error) => return Finding::unknown(CHECK, &error),
    };
    if !found.broken.is_empty() {
        let what = format!("migrations {:?} are not those of this version", found.broken);
        return Finding::fail(CHECK, what, "run the version of tollgate that made this schema, or restore a backup");
    }
    if !found.unknown.is_empty() {
        let what = format!("a newer version has applied the migrations {:?}", found.unknown);
        return Finding::warn(CHECK, what, "bring this server to that version");
    }
    if !found.pending.is_empty() {
        let what = format!("the migrations {:?} are pending", found.pending);
        return Finding::warn(CHECK, what, "start the server: it applies them, and other versions go on working");
    }
    Finding::ok(CHECK, "up to date")
}

/// Whether events have somewhere to go.
pub(super) async fn partitions(pool: &PgPool, now: Timestamp) -> Finding {
    const CHECK: &str = "database.partitions";
    let covers = async |ahead: SignedDuration| partitions::covers(pool, now.checked_add(ahead).unwrap_or(now)).await;
    let advice = "start a server, or see why its log says that partitions could not be made";
    match (covers(IDS_AHEAD).await, covers(PARTITIONS_AHEAD).await) {
        (Ok(true), Ok(true)) => Finding::ok(CHECK, "there are partitions for the month to come"),
        (Ok(true), Ok(false)) => Finding::warn(CHECK, "there are partitions for two days, not for a month", advice),
        (Ok(false), Ok(_)) => Finding::fail(CHECK, "events of the next two days have no partition", advice),
        (Err(error), _) | (_, Err(error)) => Finding::unknown(CHECK, &error),
    }
}

/// Whether this machine and the database agree on the time.
pub(super) async fn clock(pool: &PgPool) -> Finding {
    const CHECK: &str = "database.clock";
    match doctor::clock_skew(pool).await {
        Ok((skew, took)) => judged_clock(skew, took),
        Err(error) => Finding::unknown(CHECK, &error),
    }
}

fn judged_clock(skew: SignedDuration, took: Duration) -> Finding {
    const CHECK: &str = "database.clock";
    let found = format!(
        "the database's clock is {} ms ahead of this machine's, give or take {} ms",
        skew.as_millis(),
        took.as_millis()
    );
    let apart = skew.abs().saturating_sub(SignedDuration::try_from(took).unwrap_or_default());
    let advice = "keep both clocks by NTP: windows follow the database's, event ids and start times those of callers";
    if apart >= SKEW_HARMFUL {
        return Finding::fail(CHECK, found, advice);
    }
    if apart >= SKEW_SEEN {
        return Finding::warn(CHECK, found, advice);
    }
    Finding::ok(CHECK, found)
}

/// Whether answers belong to their questions.
pub(super) async fn pooler(pool: &PgPool) -> Finding {
    const CHECK: &str = "database.pooler";
    let (wrong, asked) = doctor::swapped_answers(pool).await;
    if wrong == 0 {
        return Finding::ok(CHECK, format!("{asked} questions at once were answered rightly"));
    }
    Finding::fail(
        CHECK,
        format!(
            "{wrong} of {asked} questions at once were answered wrongly or not at all: a pooler mixes up statements"
        ),
        "use PgBouncer 1.21 or newer with max_prepared_statements above 0, or session pooling, or no pooler",
    )
}

/// Whether notices arrive on the direct connection.
pub(super) async fn notices(pool: &PgPool) -> Finding {
    const CHECK: &str = "database.direct_url";
    match doctor::hears_notices(pool, NOTICE_LIMIT).await {
        Ok(true) => Finding::ok(CHECK, "notices arrive"),
        Ok(false) => Finding::fail(
            CHECK,
            "notices do not arrive: a pooler lies in between",
            "set database.direct_url to the database itself: migrations and notices need it",
        ),
        Err(error) => Finding::unknown(CHECK, &error),
    }
}

/// Whether the webhook is told in time.
pub(super) async fn deliveries(pool: &PgPool) -> Finding {
    const CHECK: &str = "alerts.deliveries";
    match doctor::late_deliveries(pool, LATE).await {
        Ok((0, 0)) => Finding::ok(CHECK, "none is late, none was given up"),
        Ok((late, given_up)) => Finding::warn(
            CHECK,
            format!("{late} alerts are late for the webhook, {given_up} were given up"),
            "see what the receiver answers in the log, and that a server with alerts.webhook_url runs",
        ),
        Err(error) => Finding::unknown(CHECK, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_skew_counts_beyond_what_asking_took() {
        let judged =
            |seconds, took| judged_clock(SignedDuration::from_millis(seconds), Duration::from_millis(took)).verdict;
        assert_eq!(judged(900, 0), Verdict::Ok);
        assert_eq!(judged(-1_500, 1_000), Verdict::Ok);
        assert_eq!(judged(-1_500, 10), Verdict::Warn);
        assert_eq!(judged(400_000, 10), Verdict::Fail);
    }
}
