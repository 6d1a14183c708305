//! RepriceUsage: recorded events at the prices that are known now, in bounded steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_domain::amount::{AmountError, Usd};
use tollgate_domain::digest::Digester;
use tollgate_domain::dimensions::{DimensionKey, DimensionMatch};
use tollgate_domain::measures::Charge;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Cost, CostLine, PriceBook, PriceSheet, PriceState};
use tollgate_domain::tokens::UsageQuality;
use tollgate_domain::window::Bounds;
use uuid::Uuid;

use super::record::price_by;
use super::{App, AppError};
use crate::ledger::{Adjust, CORRECTIONS_LIMIT, Change, Correction, Pins, STATED_UNIT};
use crate::store::adjustments::{self, RequestKey, Standing};
use crate::store::shape::{OTHER, Shape};
use crate::store::summaries;
use crate::store::usage::{self, ScanFilter};
use crate::tenant::TenantId;

/// Most reads of one step, where conditions are decided event by event.
const ROUNDS: usize = 20;
/// Most times that a step starts over because its events were corrected meanwhile.
const ATTEMPTS: usize = 10;

/// Where a step ended: the first row's start and id.
pub type Position = (Timestamp, Uuid);

/// A validated question for one step.
#[derive(Debug, Clone)]
pub struct RepriceRequest {
    /// First starts, as they were first recorded.
    pub range: Bounds,
    /// All must match the event as it stands.
    pub filter: Vec<DimensionMatch>,
    /// Models that ran; empty = all.
    pub models: Vec<String>,
    /// Whether only events without a complete price are priced again.
    pub unpriced_only: bool,
    /// Where the step before ended.
    pub after: Option<Position>,
    /// The same as the caller sent it; empty = the first step.
    pub cursor: String,
    /// To record the differences; `None` = a dry run.
    pub apply: Option<Application>,
}

/// A step that is recorded.
#[derive(Debug, Clone)]
pub struct Application {
    /// The caller's id: the same one again, with the same cursor, gets the first answer.
    pub request_id: Uuid,
    /// Why.
    pub reason: String,
}

/// What a step changes in one day for one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepriceChange {
    /// Start of the day in UTC.
    pub day: Timestamp,
    /// The model that was priced.
    pub model: ModelRef,
    /// Events priced again.
    pub events: i64,
    /// Those that cost something else now.
    pub changed: i64,
    /// What all of them cost before.
    pub usd_before: Usd,
    /// What all of them cost after.
    pub usd_after: Usd,
}

/// What one step comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepriceOutcome {
    /// Events priced again.
    pub events: i64,
    /// Those that cost something else now.
    pub changed: i64,
    /// Those that still lack a complete price.
    pub unpriced: i64,
    /// By how much the cost changes.
    pub usd_delta: Usd,
    /// Whether the differences were recorded.
    pub applied: bool,
    /// Where the next step starts; `None` = everything is done.
    pub next: Option<Position>,
    /// The same by day and model, at most one for each event.
    pub changes: Vec<RepriceChange>,
}

/// An event at the prices known now.
struct Repriced {
    standing: Standing,
    sheet: Option<Arc<PriceSheet>>,
    charge: Charge,
}

impl App {
    /// Prices the events of one step again and, where asked to, records what differs, all or nothing.
    ///
    /// # Errors
    /// [`AppError::RequestIdReused`], [`AppError::RevisionMismatch`] where events were corrected again and again meanwhile,
    /// and others.
    pub async fn reprice(&self, tenant: TenantId, request: &RepriceRequest) -> Result<RepriceOutcome, AppError> {
        for _ in 1..ATTEMPTS {
            match self.reprice_once(tenant, request).await {
                // Corrected since it was read: nothing was recorded, and all of it is read again.
                Err(AppError::RevisionMismatch { .. } | AppError::EventCancelled(_)) => {}
                answered => return answered,
            }
        }
        self.reprice_once(tenant, request).await
    }

    async fn reprice_once(&self, tenant: TenantId, request: &RepriceRequest) -> Result<RepriceOutcome, AppError> {
        let (standings, next) = self.standings(tenant, request).await?;
        let mut outcome = RepriceOutcome { applied: request.apply.is_some(), next, ..RepriceOutcome::default() };
        let mut corrections = Vec::new();
        let mut changes = BTreeMap::new();
        // The prices that are committed, not those that this replica has heard of.
        let book = self.prices.newest(tenant).await?.book.clone();
        for standing in standings {
            let repriced = repriced(standing, &book)?;
            outcome.add(&repriced, &mut changes).map_err(too_large)?;
            if repriced.differs() {
                corrections.push(Correction {
                    event_id: repriced.standing.first.event_id,
                    expected_revision: repriced.standing.revision,
                    change: Change::Reprice { sheet: repriced.sheet, charge: repriced.charge },
                });
            }
        }
        outcome.changes = changes.into_values().collect();
        let Some(Application { request_id, reason }) = &request.apply else { return Ok(outcome) };
        let adjust = Adjust {
            // Prices are those of the whole tenant.
            pins: Pins::default(),
            key: RequestKey { request_id: *request_id, step: request.cursor.clone() },
            digest: digest(request, reason)?,
            reason: reason.clone(),
            corrections,
            validate_only: false,
            told: Some(serde_json::to_value(&outcome).map_err(|_| AppError::Internal)?),
        };
        let told = self.ledger.adjust(tenant, adjust).await?.told.ok_or(AppError::Internal)?;
        serde_json::from_value(told).map_err(|_| AppError::Internal)
    }

    /// The events of a step as they stand, at most [`CORRECTIONS_LIMIT`], and where the next step starts.
    async fn standings(
        &self,
        tenant: TenantId,
        request: &RepriceRequest,
    ) -> Result<(Vec<Standing>, Option<Position>), AppError> {
        let _turn = self.turn_to_read(tenant).await?;
        let mut transaction = self.snapshot(tenant).await?;
        let mut filter = ScanFilter {
            from: request.range.start,
            until: request.range.end,
            after: request.after,
            shapes: None,
            unpriced_only: request.unpriced_only,
        };
        if !request.models.is_empty() {
            let numbers = summaries::shape_ids(&mut transaction, tenant).await?;
            let shapes = self.dictionary.shapes(&mut transaction, tenant, numbers).await?;
            // Events of a model that there was no room for are among the others; each is looked at.
            let wanted = |shape: &Shape| {
                let model = &shape.model().model;
                model == OTHER || request.models.contains(model)
            };
            let wanted = shapes.into_iter().filter(|(_, shape)| wanted(shape)).map(|(number, _)| number);
            filter.shapes = Some(wanted.collect());
        }
        let chunk = i64::try_from(CORRECTIONS_LIMIT).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        for _ in 0..ROUNDS {
            let rows = usage::scan(&mut transaction, tenant, &filter, chunk).await?;
            let exhausted = rows.len() < CORRECTIONS_LIMIT;
            for standing in adjustments::standing(&mut transaction, &self.dictionary, tenant, rows).await? {
                if found.len() == CORRECTIONS_LIMIT {
                    return Ok((found, filter.after));
                }
                filter.after = Some((standing.first.event.start_time, standing.first.event_id));
                if selects(request, &standing) {
                    found.push(standing);
                }
            }
            if exhausted {
                return Ok((found, None));
            }
            if found.len() == CORRECTIONS_LIMIT {
                break;
            }
        }
        // Few events meet the conditions: this step ends here all the same.
        Ok((found, filter.after))
    }
}

/// An event as it stands, at these prices.
fn repriced(standing: Standing, book: &PriceBook) -> Result<Repriced, AppError> {
    let current = standing.current();
    let (sheet, charge) = price_by(&current.event, book)?;
    // A price that is known no more, of all that was used or of part of it, takes nothing back: unpriced is not zero.
    if completeness(charge.cost.state) < completeness(current.charge.cost.state) {
        let charge = current.charge.clone();
        return Ok(Repriced { standing, sheet: None, charge });
    }
    Ok(Repriced { standing, sheet, charge })
}

/// How much of what was used has a price.
fn completeness(state: PriceState) -> u8 {
    match state {
        PriceState::Unpriced => 0,
        PriceState::Partial => 1,
        PriceState::Priced | PriceState::Free => 2,
    }
}

impl Repriced {
    fn differs(&self) -> bool {
        let (before, after) = (&self.standing.current().charge, &self.charge);
        before.cost.usd != after.cost.usd
            || before.cost.state != after.cost.state
            || !same_lines(&before.cost, &after.cost)
    }
}

/// Whether two costs bill the same at the same unit prices. Which entry a price comes from, for how many units it is
/// published and what the catalog calls the model make no cost another one.
fn same_lines(left: &Cost, right: &Cost) -> bool {
    let bills = |line: &CostLine| (line.line.clone(), line.quantity, line.price.per_unit(), line.usd);
    left.lines.len() == right.lines.len()
        && left.lines.iter().zip(&right.lines).all(|(left, right)| bills(left) == bills(right))
}

impl RepriceOutcome {
    fn add(
        &mut self,
        repriced: &Repriced,
        changes: &mut BTreeMap<(Timestamp, ModelRef), RepriceChange>,
    ) -> Result<(), AmountError> {
        let current = repriced.standing.current();
        let changed = i64::from(repriced.differs());
        let (before, after) = (current.charge.usd, repriced.charge.usd);
        let unpriced = matches!(repriced.charge.cost.state, PriceState::Unpriced | PriceState::Partial);
        self.events += 1;
        self.changed += changed;
        self.unpriced += i64::from(unpriced);
        self.usd_delta = self.usd_delta.plus(after.minus(before)?)?;
        let (day, model) = (day(current.event.start_time), current.event.model().clone());
        let change = changes.entry((day, model.clone())).or_insert(RepriceChange {
            day,
            model,
            events: 0,
            changed: 0,
            usd_before: Usd::ZERO,
            usd_after: Usd::ZERO,
        });
        change.events += 1;
        change.changed += changed;
        change.usd_before = change.usd_before.plus(before)?;
        change.usd_after = change.usd_after.plus(after)?;
        Ok(())
    }
}

/// Whether an event is priced again: it counts, it meets the conditions as it stands, and its charge is not an amount that
/// its caller stated.
fn selects(request: &RepriceRequest, standing: &Standing) -> bool {
    let current = standing.current();
    let event = &current.event;
    let unknown = event.usage.as_ref().is_some_and(|usage| usage.quality == UsageQuality::Unknown);
    let stated = unknown && event.units.iter().any(|count| count.unit == STATED_UNIT);
    let incomplete = matches!(current.charge.cost.state, PriceState::Unpriced | PriceState::Partial);
    let shape = Shape::of(event, &event.dimensions);
    let value = |key: &DimensionKey| match key {
        DimensionKey::Dimension(dimension) if dimension.is_in_shape() => {
            shape.values.get(dimension).map(String::as_str)
        }
        key => event.dimensions.get_key(key),
    };
    !standing.cancelled
        && !stated
        && (incomplete || !request.unpriced_only)
        && (request.models.is_empty() || request.models.contains(&event.model().model))
        && request.filter.iter().all(|condition| condition.accepts(value(&condition.key)))
}

fn day(at: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400;
    Timestamp::from_second(at.as_microsecond().div_euclid(DAY * 1_000_000) * DAY).unwrap_or(at)
}

/// Tells steps apart, so that a request id serves only the repricing that it was first used for.
fn digest(request: &RepriceRequest, reason: &str) -> Result<Uuid, AppError> {
    let RepriceRequest { range, filter, models, unpriced_only, after: _, cursor, apply: _ } = request;
    let said = (range, filter, models, unpriced_only, cursor, reason);
    let mut digester = Digester::new();
    digester.field("reprice").field(serde_json::to_vec(&said).map_err(|_| AppError::Internal)?);
    Ok(digester.finish())
}

fn too_large(_: AmountError) -> AppError {
    AppError::QueryTooWide("its sums have more digits than can be held; ask for a shorter range".to_owned())
}
