//! `tollgate reservations`: what is held, and what ran out without a word of what became of its call.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tollgate_client::Client;
use tollgate_proto::v1;

use super::prices::arguments::InstantArgument;
use super::prices::source::ServerArguments;
use super::prices::table::{moment, table};
use crate::grpc::convert::values::to_timestamp;

const PAGE_SIZE: i32 = 1_000;

/// Looks at reservations of a server.
#[derive(Debug, Args)]
pub struct ReservationsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ReservationsCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum ReservationsCommand {
    /// List reservations, newest first
    List(ListArguments),
    /// Show one reservation
    Show(ShowArguments),
    /// Report reservations that expired and were never settled or released, with what they still take from budgets
    Orphans(OrphansArguments),
}

/// A state of reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateArgument {
    /// Open.
    Pending,
    /// Ended by usage.
    Settled,
    /// Ended without usage.
    Released,
    /// Ended by time.
    Expired,
    /// Settled after it had expired.
    SettledLate,
    /// Ended before its check arrived.
    Void,
}

/// Which reservations.
#[derive(Debug, Clone, Args)]
pub struct SelectionArguments {
    /// Only those that hold or have charged in this budget
    #[arg(long, value_name = "ID")]
    budget: Option<String>,
    /// Only those of this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only those of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only those that ended then or later: an instant, a day, or now
    #[arg(long, value_name = "TIME")]
    since: Option<InstantArgument>,
    /// Most reservations to show; totals are those of what is shown
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Options of `tollgate reservations list`.
#[derive(Debug, Clone, Args)]
pub struct ListArguments {
    /// Only those in this state; may be given several times
    #[arg(long, value_name = "STATE")]
    state: Vec<StateArgument>,
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Options of `tollgate reservations show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArguments {
    /// The reservation
    #[arg(value_name = "RESERVATION")]
    id: String,
    #[command(flatten)]
    server: ServerArguments,
}

/// Options of `tollgate reservations orphans`.
#[derive(Debug, Clone, Args)]
pub struct OrphansArguments {
    #[command(flatten)]
    selection: SelectionArguments,
}

/// Runs the command; exits with 1 where an orphan report is not empty.
///
/// # Errors
/// What kept it from being done.
pub async fn run(arguments: &ReservationsArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        ReservationsCommand::List(arguments) => {
            let states = arguments.state.iter().map(|state| state.wire()).collect();
            let (found, more) = find(&arguments.selection, states).await?;
            write(output, &found, more, arguments.selection.json)?;
            Ok(ExitCode::SUCCESS)
        }
        ReservationsCommand::Show(arguments) => {
            let client = client(&arguments.server)?;
            let reservation = client.get_reservation(arguments.id.clone()).await?;
            serde_json::to_writer_pretty(&mut *output, &described(&reservation))?;
            writeln!(output)?;
            Ok(ExitCode::SUCCESS)
        }
        ReservationsCommand::Orphans(arguments) => {
            let (found, more) = find(&arguments.selection, vec![v1::reservation::State::Expired]).await?;
            write(output, &found, more, arguments.selection.json)?;
            Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

impl StateArgument {
    fn wire(self) -> v1::reservation::State {
        match self {
            Self::Pending => v1::reservation::State::Pending,
            Self::Settled => v1::reservation::State::Settled,
            Self::Released => v1::reservation::State::Released,
            Self::Expired => v1::reservation::State::Expired,
            Self::SettledLate => v1::reservation::State::SettledLate,
            Self::Void => v1::reservation::State::Void,
        }
    }
}

fn client(server: &ServerArguments) -> anyhow::Result<Client> {
    server.required_for("reservations are those of a server")
}

/// What is asked for, and whether there is more than the limit.
async fn find(
    selection: &SelectionArguments,
    states: Vec<v1::reservation::State>,
) -> anyhow::Result<(Vec<v1::Reservation>, bool)> {
    let is = |name: &str, value: &Option<String>| {
        let key = Some(v1::DimensionKey { name: name.to_owned(), label: String::new() });
        value.clone().map(|value| v1::DimensionMatch { key, values: vec![value], ..Default::default() })
    };
    let filter = [is("user_id", &selection.user), is("session_id", &selection.session)];
    let request = v1::ListReservationsRequest {
        states: states.into_iter().map(i32::from).collect(),
        budget_id: selection.budget.clone().unwrap_or_default(),
        filter: filter.into_iter().flatten().collect(),
        page_size: PAGE_SIZE,
        ended_since: selection.since.as_ref().map(|since| to_timestamp(since.0)),
        ..Default::default()
    };
    let mut listed = std::pin::pin!(client(&selection.server)?.list_reservations(request));
    let mut found = Vec::new();
    while let Some(reservation) = listed.try_next().await? {
        if found.len() >= selection.limit {
            return Ok((found, true));
        }
        found.push(reservation);
    }
    Ok((found, false))
}

/// Sums of what is shown, as decimal strings.
#[derive(Debug, Default)]
struct Totals {
    worst_usd: Decimal,
    /// Held and presumed, by unit.
    taken: BTreeMap<&'static str, Decimal>,
}

fn totals(found: &[v1::Reservation]) -> anyhow::Result<Totals> {
    let mut totals = Totals::default();
    let number = |text: &str| if text.is_empty() { Ok(Decimal::ZERO) } else { text.parse::<Decimal>() };
    let add = |sum: Decimal, more: Decimal| sum.checked_add(more).context("the totals are too large");
    for reservation in found {
        totals.worst_usd = add(totals.worst_usd, number(&reservation.worst_usd)?)?;
        for part in &reservation.parts {
            let taken = add(number(&part.held)?, number(&part.presumed)?)?;
            let sum = totals.taken.entry(part.unit().as_str_name()).or_default();
            *sum = add(*sum, taken)?;
        }
    }
    Ok(totals)
}

fn write(output: &mut impl Write, found: &[v1::Reservation], more: bool, as_json: bool) -> anyhow::Result<()> {
    let Totals { worst_usd, taken } = totals(found)?;
    let worst_usd = worst_usd.normalize();
    if as_json {
        let taken: BTreeMap<&str, String> =
            taken.iter().map(|(unit, sum)| (*unit, sum.normalize().to_string())).collect();
        let listing = json!({
            "reservations": found.iter().map(described).collect::<Vec<Value>>(),
            "totals": { "count": found.len(), "worstUsd": worst_usd.to_string(), "heldAndPresumed": taken },
            "more": more,
        });
        serde_json::to_writer_pretty(&mut *output, &listing)?;
        writeln!(output)?;
        return Ok(());
    }
    let mut table =
        table(&["reservation", "state", "made", "ended", "user", "session", "model", "worst USD", "presumed"]);
    for one in found {
        let dimensions = one.dimensions.clone().unwrap_or_default();
        let model = one.model.clone().unwrap_or_default();
        let presumed: Vec<String> = one
            .parts
            .iter()
            .filter(|part| part.presumed != "0")
            .map(|part| format!("{} {}", part.budget_id, part.presumed))
            .collect();
        table.add_row([
            one.reservation_id.clone(),
            state_name(one).to_owned(),
            moment(one.create_time),
            moment(one.end_time),
            dimensions.user_id,
            dimensions.session_id,
            format!("{}/{}", model.provider_name, model.model),
            one.worst_usd.clone(),
            presumed.join(", "),
        ]);
    }
    writeln!(output, "{table}")?;
    let shown = if more { " shown, there are more" } else { "" };
    writeln!(output, "{} reservations{shown}, worst case {worst_usd} USD", found.len())?;
    for (unit, sum) in taken {
        writeln!(output, "held and presumed in {unit}: {}", sum.normalize())?;
    }
    Ok(())
}

fn state_name(reservation: &v1::Reservation) -> &'static str {
    let name = reservation.state().as_str_name();
    name.strip_prefix("STATE_").unwrap_or(name)
}

/// With its context: who, on which model, for how much, when, and what it takes from which counter.
fn described(one: &v1::Reservation) -> Value {
    let dimensions = one.dimensions.clone().unwrap_or_default();
    let model = one.model.clone().unwrap_or_default();
    let parts: Vec<Value> = one
        .parts
        .iter()
        .map(|part| {
            json!({
                "budgetId": part.budget_id, "perValues": part.per_values, "windowStart": moment(part.window_start),
                "unit": part.unit().as_str_name(), "held": part.held, "charged": part.charged, "presumed": part.presumed,
            })
        })
        .collect();
    json!({
        "reservationId": one.reservation_id,
        "state": state_name(one),
        "createTime": moment(one.create_time),
        "expireTime": moment(one.expire_time),
        "endTime": moment(one.end_time),
        "endReason": one.end_reason,
        "userId": dimensions.user_id,
        "sessionId": dimensions.session_id,
        "agentId": dimensions.agent_id,
        "projectId": dimensions.project_id,
        "teamId": dimensions.team_id,
        "taskName": dimensions.task_name,
        "labels": dimensions.labels,
        "model": format!("{}/{}", model.provider_name, model.model),
        "worstInputTokens": one.worst_input_tokens,
        "worstOutputTokens": one.worst_output_tokens,
        "worstUsd": one.worst_usd,
        "eventIds": one.event_ids,
        "parts": parts,
    })
}
