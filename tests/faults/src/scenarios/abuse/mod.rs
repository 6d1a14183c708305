//! Clients that break the rules of HTTP/2, or keep them and ask for too much, beside one that keeps on calling.
//!
//! The server must go on answering that one and keep its memory. How much slower it answers is measured against the same
//! calls without an attack in the same run; the verdict on that is given where it is asked for, on a machine that is quiet.

mod attack;
mod bombs;
mod crowd;
mod flood;
mod steady;

use std::net::SocketAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::attackers::Attackers;
use super::trial::{Trial, until_recording};
use crate::report::Report;
use crate::stage::Stage;
use attack::Attack;
use bombs::Bombs;
use steady::{Latency, steady_calls};
use tollgate_stage::wait::bounded;

/// How long each attack lasts.
const SHORT: u64 = 1;
const FULL: u64 = 15;
/// Most memory that the server may ever have had.
const MEMORY_LIMIT: u64 = 256 << 20;
/// How much slower calls may be while somebody attacks, as a ratio of 99th percentiles.
const SLOWDOWN_LIMIT: u32 = 2;
/// What cannot be told apart on any machine: latencies below are equal.
const RESOLUTION: Duration = Duration::from_millis(5);

/// Runs one attack after the other against the same server.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let time = Duration::from_secs(stage.seconds(SHORT, FULL));
    let mut report = Report::default();
    report.note(format!("{} files may be open", crowd::raise_open_files()?));
    let trial = Trial::open(stage, 0, 1, true).await?;
    let replica = trial.replicas.first().ok_or_else(|| anyhow::anyhow!("there is no replica"))?;
    let url = replica.url();
    let address: SocketAddr = url.trim_start_matches("http://").parse()?;
    let bar = stage.progress("abuse", Attack::ALL.len());
    let attackers = Attackers::start()?;
    let bombs = tokio::task::spawn_blocking(Bombs::make).await??;
    report.note(format!("bombs: {bombs}"));
    // The first calls of a server are slow in their own right.
    steady_calls(&trial.service, &trial.history, Duration::from_secs(1)).await?;
    for attack in Attack::ALL {
        let quiet = steady_calls(&trial.service, &trial.history, time).await?;
        let (ready, stop) = (CancellationToken::new(), CancellationToken::new());
        let attacking = attackers.spawn(attack.run(address, bombs.clone(), ready.clone(), stop.clone()));
        bounded("an attack at full strength", ready.cancelled()).await?;
        let under_attack = steady_calls(&trial.service, &trial.history, time).await?;
        stop.cancel();
        let tally = attacking.await??;
        report.faults += tally.attempts;
        until_recording(replica, &trial.history).await?;
        let memory = replica.highest_resident_bytes()?;
        let ratio = ratio(quiet.p99, under_attack.p99);
        report.note(format!(
            "{}: {tally}; p99 {:?} quiet, {:?} under attack ({}.{:02} times), {} calls, highest memory {} MiB",
            attack.name(),
            quiet.p99,
            under_attack.p99,
            ratio / 100,
            ratio % 100,
            under_attack.calls,
            memory >> 20,
        ));
        if memory > MEMORY_LIMIT {
            report.violations.push(format!("{}: the server had {} MiB in memory", attack.name(), memory >> 20));
        }
        if tally.attempts == 0 {
            report.violations.push(format!("{}: nothing was sent", attack.name()));
        }
        if stage.judge && too_slow(&quiet, &under_attack) {
            report.violations.push(format!(
                "{}: calls were {}.{:02} times slower",
                attack.name(),
                ratio / 100,
                ratio % 100
            ));
        }
        bar.inc(1);
    }
    trial.close(&mut report).await?;
    Ok(report)
}

fn too_slow(quiet: &Latency, under_attack: &Latency) -> bool {
    under_attack.p99 > (quiet.p99 * SLOWDOWN_LIMIT).max(RESOLUTION)
}

/// In hundredths.
fn ratio(quiet: Duration, under_attack: Duration) -> u128 {
    under_attack.as_micros() * 100 / quiet.as_micros().max(1)
}
