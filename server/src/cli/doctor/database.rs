//! The database's settings.

use super::finding::Finding;
use crate::auth::LOOK_UP_CONNECTIONS;
use crate::boot::UPKEEP_CONNECTIONS;
use crate::config::Config;
use crate::store::connect::{NEWEST_MAJOR, OLDEST_MAJOR};
use crate::store::doctor::Settings;

/// Connections of one server beside those of its pools: the heartbeat, two for notices, two while it starts.
const CONNECTIONS_BESIDE: u32 = 5;
/// With less, every busy minute has a checkpoint, after each of which pages are written whole.
const ENOUGH_WAL: i64 = 1 << 30;
/// More often than that costs, too.
const ENOUGH_SECONDS: i32 = 300;

/// All that its settings tell.
pub(super) fn examine(settings: &Settings, config: &Config) -> Vec<Finding> {
    vec![
        version(settings),
        durability(settings),
        standby(settings),
        autovacuum(settings),
        connections(settings, config),
        checkpoints(settings),
        encryption(settings),
    ]
}

fn version(settings: &Settings) -> Finding {
    const CHECK: &str = "database.version";
    let major = u32::try_from(settings.version / 10_000).unwrap_or(0);
    let found = format!("PostgreSQL {major}.{}", settings.version % 10_000);
    if (OLDEST_MAJOR..=NEWEST_MAJOR).contains(&major) {
        return Finding::ok(CHECK, found);
    }
    Finding::fail(CHECK, found, format!("use PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR}"))
}

fn durability(settings: &Settings) -> Finding {
    const CHECK: &str = "database.durability";
    let Settings { fsync, full_page_writes, synchronous_commit, .. } = settings;
    let found =
        format!("fsync = {fsync}, full_page_writes = {full_page_writes}, synchronous_commit = {synchronous_commit}");
    let durable = fsync == "on" && full_page_writes == "on" && synchronous_commit != "off";
    if durable {
        return Finding::ok(CHECK, found);
    }
    Finding::fail(
        CHECK,
        found,
        "set all of them to on: acknowledged usage could be lost, and the server does not start",
    )
}

fn standby(settings: &Settings) -> Finding {
    const CHECK: &str = "database.primary";
    if settings.is_standby {
        return Finding::fail(
            CHECK,
            "it follows another server, and takes no writes",
            "point database.url at the primary",
        );
    }
    Finding::ok(CHECK, "it takes writes")
}

fn autovacuum(settings: &Settings) -> Finding {
    const CHECK: &str = "database.autovacuum";
    let Settings { autovacuum, track_counts, .. } = settings;
    let found = format!("autovacuum = {autovacuum}, track_counts = {track_counts}");
    if autovacuum == "on" && track_counts == "on" {
        return Finding::ok(CHECK, found);
    }
    Finding::fail(
        CHECK,
        found,
        "set both to on: counters are rewritten with every batch, and their tables would grow for ever",
    )
}

fn connections(settings: &Settings, config: &Config) -> Finding {
    const CHECK: &str = "database.connections";
    let writers = u32::try_from(config.ledger.writers).unwrap_or(u32::MAX);
    let fixed = UPKEEP_CONNECTIONS + LOOK_UP_CONNECTIONS + CONNECTIONS_BESIDE;
    let needed = config.database.connections.saturating_add(writers).saturating_add(fixed);
    let room = u32::try_from(settings.max_connections.saturating_sub(settings.reserved_connections)).unwrap_or(0);
    let found = format!("a server opens up to {needed}, the database allows {room}");
    let advice = "raise max_connections of the database, or lower database.connections";
    if needed > room {
        return Finding::fail(CHECK, found, advice);
    }
    if needed.saturating_mul(2) > room {
        let found = format!("{found}: two servers, as while one takes over from another, do not fit");
        return Finding::warn(CHECK, found, advice);
    }
    Finding::ok(CHECK, found)
}

fn checkpoints(settings: &Settings) -> Finding {
    const CHECK: &str = "database.checkpoints";
    let Settings { max_wal_bytes, checkpoint_seconds, .. } = settings;
    let found = format!("max_wal_size = {} MiB, checkpoint_timeout = {checkpoint_seconds} s", max_wal_bytes >> 20);
    if *max_wal_bytes >= ENOUGH_WAL && *checkpoint_seconds >= ENOUGH_SECONDS {
        return Finding::ok(CHECK, found);
    }
    Finding::warn(
        CHECK,
        found,
        "set max_wal_size to 4 GB or more and checkpoint_timeout to 15 min: writing slows down after each checkpoint",
    )
}

fn encryption(settings: &Settings) -> Finding {
    const CHECK: &str = "database.encryption";
    match (settings.is_encrypted, settings.is_remote) {
        (true, _) => Finding::ok(CHECK, "the connection is encrypted"),
        (false, false) => Finding::ok(CHECK, "the connection is not encrypted, and does not leave this machine"),
        (false, true) => Finding::warn(
            CHECK,
            "the connection goes over the network and is not encrypted",
            "add sslmode=verify-full to database.url",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    /// A check, its verdict, and what leads to it.
    type Case = (&'static str, Verdict, fn(&mut Settings));

    fn good() -> Settings {
        let on = || "on".to_owned();
        Settings {
            version: 150_020,
            fsync: on(),
            full_page_writes: on(),
            synchronous_commit: on(),
            autovacuum: on(),
            track_counts: on(),
            max_connections: 100,
            reserved_connections: 3,
            max_wal_bytes: 4 << 30,
            checkpoint_seconds: 900,
            is_standby: false,
            is_remote: false,
            is_encrypted: false,
        }
    }

    #[test]
    fn each_setting_is_judged_by_itself() {
        let off = || "off".to_owned();
        let cases: [Case; 10] = [
            ("database.version", Verdict::Fail, |one| one.version = 130_001),
            ("database.durability", Verdict::Fail, |one| one.full_page_writes = "off".to_owned()),
            ("database.durability", Verdict::Ok, |one| one.synchronous_commit = "remote_apply".to_owned()),
            ("database.primary", Verdict::Fail, |one| one.is_standby = true),
            ("database.autovacuum", Verdict::Fail, |one| one.track_counts = "off".to_owned()),
            ("database.connections", Verdict::Fail, |one| one.max_connections = 20),
            ("database.connections", Verdict::Warn, |one| one.max_connections = 40),
            ("database.checkpoints", Verdict::Warn, |one| one.max_wal_bytes = 64 << 20),
            ("database.encryption", Verdict::Warn, |one| one.is_remote = true),
            ("database.encryption", Verdict::Ok, |one| (one.is_remote, one.is_encrypted) = (true, true)),
        ];
        for (check, verdict, change) in cases {
            let mut settings = good();
            change(&mut settings);
            for finding in examine(&settings, &Config::default()) {
                let expected = if finding.check == check { verdict } else { Verdict::Ok };
                assert_eq!(finding.verdict, expected, "{check}: {finding:?}");
                assert_eq!(finding.advice.is_empty(), expected == Verdict::Ok, "{finding:?}");
            }
        }
        let lossy = Settings { fsync: off(), ..good() };
        assert!(durability(&lossy).found.contains("fsync = off"));
    }
}
