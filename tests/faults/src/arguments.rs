//! What the command line asks for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Breaks Tollgate on purpose and checks that nothing is overspent, lost or counted twice.
#[derive(Debug, Clone, Parser)]
#[command(name = "tollgate-faults", version)]
pub(crate) struct Arguments {
    /// Which scenario
    pub(crate) scenario: Choice,
    /// A few rounds of each, for every change
    #[arg(long)]
    pub(crate) short: bool,
    /// Seed of everything that is random; by default a new one, which is printed
    #[arg(long, default_value_t = rand::random::<u32>().into())]
    pub(crate) seed: u64,
    /// Rounds in place of the scenario's own number
    #[arg(long, value_name = "COUNT")]
    pub(crate) rounds: Option<usize>,
    /// Seconds of each attack in place of the scenario's own number
    #[arg(long, value_name = "COUNT")]
    pub(crate) seconds: Option<u64>,
    /// Fail where calls are much slower under attack: for a machine that does nothing else
    #[arg(long)]
    pub(crate) judge: bool,
    /// Print one line of JSON per scenario
    #[arg(long)]
    pub(crate) json: bool,
    /// Run an optimised server
    #[arg(long)]
    pub(crate) release: bool,
    /// The `tollgate` to run, in place of one that is built first
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// The `tollgate` of an older release, from which `upgrade` goes to the one that is run; by default the same one, which then
    /// meets a schema that has grown
    #[arg(long, value_name = "FILE")]
    pub(crate) old: Option<PathBuf>,
    /// Keep the folder with the logs
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Arguments {
    /// The scenarios, in order.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        match self.scenario {
            Choice::All => Scenario::ALL.to_vec(),
            Choice::One(scenario) => vec![scenario],
        }
    }
}

/// One scenario, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    All,
    One(Scenario),
}

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Hammer,
    FirstCalls,
    ServerKill,
    PostgresKill,
    Cuts,
    Settle,
    Pause,
    Limits,
    Rollover,
    Cancel,
    Slow,
    Outage,
    DiskFull,
    Rolling,
    Upgrade,
    Abuse,
    Malformed,
    Fair,
    LabelBomb,
}

impl Scenario {
    const ALL: [Self; 19] = [
        Self::Hammer,
        Self::FirstCalls,
        Self::ServerKill,
        Self::PostgresKill,
        Self::Cuts,
        Self::Settle,
        Self::Pause,
        Self::Limits,
        Self::Rollover,
        Self::Cancel,
        Self::Slow,
        Self::Outage,
        Self::DiskFull,
        Self::Rolling,
        Self::Upgrade,
        Self::Abuse,
        Self::Malformed,
        Self::Fair,
        Self::LabelBomb,
    ];

    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hammer => "hammer",
            Self::FirstCalls => "first-calls",
            Self::ServerKill => "server-kill",
            Self::PostgresKill => "postgres-kill",
            Self::Cuts => "cuts",
            Self::Settle => "settle",
            Self::Pause => "pause",
            Self::Limits => "limits",
            Self::Rollover => "rollover",
            Self::Cancel => "cancel",
            Self::Slow => "slow",
            Self::Outage => "outage",
            Self::DiskFull => "disk-full",
            Self::Rolling => "rolling",
            Self::Upgrade => "upgrade",
            Self::Abuse => "abuse",
            Self::Malformed => "malformed",
            Self::Fair => "fair",
            Self::LabelBomb => "label-bomb",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Hammer => "4 replicas with 64 callers each on one budget, replicas are killed",
            Self::FirstCalls => "64 concurrent first calls on a new budget of a user",
            Self::ServerKill => "kill -9 of one of two replicas under load",
            Self::PostgresKill => "kill -9 of every process of Postgres under load",
            Self::Cuts => "connections to Postgres cut before, during and after COMMIT",
            Self::Settle => "one settle, retried 100 times late, elsewhere, at once",
            Self::Pause => "a replica stands still while others use the budget up",
            Self::Limits => "the limit moves while calls are in flight",
            Self::Rollover => "windows end under load",
            Self::Cancel => "callers hang up or run out of time",
            Self::Slow => "Postgres answers late, or not at all for a while",
            Self::Outage => "Postgres is stopped under the load of the recorder",
            Self::DiskFull => "the file system of Postgres is full",
            Self::Rolling => "two replicas are restarted in turn under the Rust client: no call fails",
            Self::Upgrade => "two replicas change from one release to the next and back while the schema grows",
            Self::Abuse => "clients flood, stall and inflate while another one keeps on calling",
            Self::Malformed => "damaged messages and damaged frames",
            Self::Fair => "a tenant floods at ten times its share beside a quiet one",
            Self::LabelBomb => "every event has names that nobody has had before",
        }
    }
}

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Choice; 20] = [
            Choice::All,
            Choice::One(Scenario::Hammer),
            Choice::One(Scenario::FirstCalls),
            Choice::One(Scenario::ServerKill),
            Choice::One(Scenario::PostgresKill),
            Choice::One(Scenario::Cuts),
            Choice::One(Scenario::Settle),
            Choice::One(Scenario::Pause),
            Choice::One(Scenario::Limits),
            Choice::One(Scenario::Rollover),
            Choice::One(Scenario::Cancel),
            Choice::One(Scenario::Slow),
            Choice::One(Scenario::Outage),
            Choice::One(Scenario::DiskFull),
            Choice::One(Scenario::Rolling),
            Choice::One(Scenario::Upgrade),
            Choice::One(Scenario::Abuse),
            Choice::One(Scenario::Malformed),
            Choice::One(Scenario::Fair),
            Choice::One(Scenario::LabelBomb),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        use clap::builder::PossibleValue;
        Some(match self {
            Self::All => PossibleValue::new("all").help("every scenario"),
            Self::One(scenario) => PossibleValue::new(scenario.name()).help(scenario.help()),
        })
    }
}
