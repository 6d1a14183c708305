//! `tollgate demo`: the main job on real input. A server, an orchestrator that replays a real LLM trace over the socket, a
//! subscriber that watches, the summaries, and the audit.

mod alerts;
mod budgets;
mod cast;
mod figures;
mod live;
mod pace;
mod proof;
mod replay;
mod report;
mod screen;
mod summaries;
mod sums;
mod tally;
mod trace;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;
use jiff::{SignedDuration, Timestamp, Unit};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollgate_client::{Client, RetryPolicy};
use tollgate_domain::dimensions::Dimensions;

pub use pace::Pace;
pub use trace::TraceError;

use self::cast::PlannedCall;
use self::live::{Latest, Live};
use self::replay::{Replay, SharedTally, with_tally};
use self::report::{Counter, Outcomes, Recorded, Report, Timing};
use self::screen::Screen;
use super::serve::stop_on_signals;
use crate::app::audit::audit;
use crate::app::keys::{NewKey, create_key};
use crate::auth::Permissions;
use crate::boot::{self, Database, Running};
use crate::config::{Config, LogConfig};
use crate::telemetry;
use crate::tenant::TenantId;

/// Options of `tollgate demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// Stop the server at the end; exit with 0 only if every figure and the audit hold.
    #[arg(long)]
    pub once: bool,
    /// Print one JSON document at the end instead of text.
    #[arg(long)]
    pub json: bool,
    /// Replay this trace instead of the shipped sample (CSV: TIMESTAMP,ContextTokens,GeneratedTokens).
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// How many times as fast as it was recorded, or `max`.
    #[arg(long, value_name = "N|max", default_value = "8")]
    pub speed: Pace,
    /// The most calls at once.
    #[arg(long, value_name = "CALLS", default_value = "64")]
    pub concurrency: NonZeroUsize,
    /// Create no budgets, so that every call runs on the model planned for it.
    #[arg(long)]
    pub no_budgets: bool,
}

/// Runs the demo. The exit code says whether everything holds.
///
/// # Errors
/// What keeps it from being run.
pub async fn run(arguments: &DemoArguments, config: &Config, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    // Below warnings, logs would tear the display apart.
    let telemetry =
        telemetry::start(&LogConfig { filter: "warn".to_owned(), ..config.log.clone() }, &config.telemetry)?;
    let mut config = config.clone();
    // Shown in the display instead.
    config.alerts.log = false;
    let config = &config;
    let trace = match &arguments.trace {
        Some(file) => trace::read(file)?,
        None => trace::sample()?,
    };
    let interrupt = stop_on_signals()?;
    let project = unique_project();
    let calls = trace.into_iter().enumerate();
    let calls: Vec<_> = calls.map(|(index, traced)| PlannedCall::new(&project, index, traced)).collect();
    let began = Instant::now();
    let database = Database::open(config).await?;
    let demo = Demo { arguments, project, interrupt, began, shows_key: config.auth.required };
    let shown = demo.show(config, &database, calls, output).await;
    database.close().await?;
    telemetry.flush(FLUSH_TIME).await;
    shown.map(|holds| if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Longest wait for a collector at the end.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// A project that no other run has, so that every run is summed up by itself.
fn unique_project() -> String {
    let now = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    format!("demo-{now}-{:04x}", rand::random::<u16>())
}

struct Demo<'a> {
    arguments: &'a DemoArguments,
    project: String,
    interrupt: CancellationToken,
    began: Instant,
    /// Whether the server asks for a key, of itself as of anybody.
    shows_key: bool,
}

impl Demo<'_> {
    /// Runs the server for as long as it is needed.
    async fn show(
        &self,
        config: &Config,
        database: &Database,
        calls: Vec<PlannedCall>,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let listener = bind(config.server.listen).await?;
        let running = boot::start(config, database, listener, CancellationToken::new()).await?;
        let holds = self.show_with(&running, calls, output).await;
        if holds.is_ok() && !self.arguments.once {
            self.interrupt.cancelled().await;
        }
        running.stop();
        running.stopped().await;
        holds
    }

    async fn show_with(
        &self,
        running: &Running,
        calls: Vec<PlannedCall>,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let endpoint = format!("http://{}", reachable(running.address));
        let started = self.began.elapsed();
        if !self.arguments.json {
            self.write_opening(output, &endpoint, calls.len())?;
        }
        let report = self.replay(running, endpoint, started, calls).await?;
        if self.arguments.json {
            serde_json::to_writer_pretty(&mut *output, &report)?;
            writeln!(output)?;
        } else {
            report.write(output)?;
        }
        output.flush()?;
        if !self.arguments.once {
            // Standard output may be a JSON document.
            let _unseen = writeln!(
                std::io::stderr(),
                "\nthe server goes on at {} (gRPC, plain text); this run is project {}\nCtrl-C stops it",
                report.endpoint,
                self.project,
            );
        }
        Ok(report.holds)
    }

    fn write_opening(&self, output: &mut impl Write, endpoint: &str, calls: usize) -> std::io::Result<()> {
        let (trace, pace, project) = (self.trace_name(), self.arguments.speed, &self.project);
        writeln!(output, "tollgate serves at {endpoint}")?;
        writeln!(output, "replaying {calls} calls of {trace}, {pace}, as project {project}")?;
        output.flush()
    }

    fn trace_name(&self) -> String {
        let credit =
            || "the Azure LLM inference trace 2023 (conversation; Patel et al., ISCA 2024; CC-BY 4.0)".to_owned();
        self.arguments.trace.as_ref().map_or_else(credit, |file| file.display().to_string())
    }

    async fn replay(
        &self,
        running: &Running,
        endpoint: String,
        started: Duration,
        calls: Vec<PlannedCall>,
    ) -> anyhow::Result<Report> {
        let key = if self.shows_key { own_key(running).await? } else { None };
        let client = connect(&endpoint, key).await?;
        if !self.arguments.no_budgets {
            let prices = running.app.prices.book(TenantId::LOCAL).await?;
            budgets::create(&client, &prices, &self.project, &calls).await?;
        }
        let followed = (!self.arguments.no_budgets).then(|| alerts::Followed::start(&client, &self.project));
        let hour =
            Timestamp::now().round(jiff::TimestampRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Floor))?;
        let planned = u64::try_from(calls.len()).unwrap_or(u64::MAX);
        let tally = SharedTally::default();
        let mut live = Live::watch(&client, &self.project, hour);
        let screen = Screen::new(&self.project, planned, tally.clone(), live.latest())
            .with_alerts(followed.as_ref().map(alerts::Followed::alerts));
        let (ended, replayed) = (CancellationToken::new(), Instant::now());
        let drawing = tokio::spawn(screen.run(ended.clone()));
        let replay =
            Replay { client: client.clone(), pace: self.arguments.speed, concurrency: self.arguments.concurrency };
        replay.run(calls, &tally, &self.interrupt).await;
        let replayed = replayed.elapsed();
        let latest = live.settle_at(&with_tally(&tally, |tally| tally.recorded)).await;
        ended.cancel();
        drawing.await?;
        if self.interrupt.is_cancelled() {
            let ended = with_tally(&tally, |tally| tally.ended());
            anyhow::bail!("interrupted after {ended} of {planned} calls");
        }
        if let Some(failure) = &latest.failure {
            anyhow::bail!("the stream of totals ended: {failure}");
        }
        let summaries = summaries::ask(&client, &self.project, SystemTime::from(hour)).await?;
        let alerts = match &followed {
            Some(_) => alerts::list(&client, &self.project).await.context("the alerts cannot be read")?,
            None => Vec::new(),
        };
        let audit = audit(&running.app.all_tenants, &running.app.dictionary, TenantId::LOCAL)
            .await
            .context("the audit failed")?;
        Ok(with_tally(&tally, |tally| {
            let timing = Timing::new(tally, started, replayed);
            self.report(tally, endpoint, planned, (summaries, alerts), audit, &latest, timing)
        }))
    }

    fn report(
        &self,
        tally: &tally::Tally,
        endpoint: String,
        planned: u64,
        (summaries, alerts): (Vec<summaries::RunSummary>, Vec<alerts::RaisedAlert>),
        audit: crate::app::audit::AuditReport,
        latest: &Latest,
        timing: Timing,
    ) -> Report {
        let agreements = proof::agreements(&tally.recorded, &tally.by_model, latest.sums(), &summaries);
        let complete = tally.failed == 0 && tally.ended() == planned;
        let told = alerts::tell_of_all(&alerts, &latest.scope.budgets);
        Report {
            holds: complete && told && audit.holds() && agreements.iter().all(|agreement| agreement.holds),
            project_id: self.project.clone(),
            endpoint,
            trace: self.trace_name(),
            calls: planned,
            recorded: Recorded::new(tally),
            outcomes: Outcomes::new(tally),
            budgets: Counter::all(&self.project, &latest.scope.budgets),
            alerts,
            summaries,
            agreements,
            audit,
            timing,
        }
    }
}

/// The configured address, or any other port where that one is taken.
async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            TcpListener::bind(SocketAddr::new(address.ip(), 0)).await
        }
        bound => bound,
    }
    .with_context(|| format!("the address {address} cannot be served: set TOLLGATE_SERVER__LISTEN to another one"))
}

/// An address that listens everywhere is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A key for this run, which works for a day.
async fn own_key(running: &Running) -> anyhow::Result<Option<SecretString>> {
    let key = NewKey {
        display_name: "demo".to_owned(),
        permissions: Permissions::EVERYTHING,
        pinned: Dimensions::default(),
        granted: Vec::new(),
        expire_time: Some(Timestamp::now().checked_add(SignedDuration::from_hours(24))?),
    };
    let made = create_key(&running.app.tenants, TenantId::LOCAL, Permissions::EVERYTHING, key, None).await?;
    Ok(made.secret)
}

/// A client that is patient: a demo on a slow disk is slow, not broken.
async fn connect(endpoint: &str, key: Option<SecretString>) -> anyhow::Result<Client> {
    let retry = RetryPolicy { attempt_timeout: Duration::from_secs(20), ..RetryPolicy::default() };
    let mut client =
        Client::builder(endpoint).user_agent("tollgate-demo").deadline(Duration::from_secs(60)).retry(retry);
    if let Some(key) = key {
        client = client.api_key(key.expose_secret());
    }
    client.connect().await.with_context(|| format!("the server at {endpoint} does not answer its own client"))
}
