//! The corrections of a batch: legs beside the first rows, signed totals, and counters that follow (contract, decision 15).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, Usd};
use tollgate_domain::budget::BudgetState;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::event::{Accounting, UsageEvent};
use tollgate_domain::measures::Measures;
use uuid::Uuid;

use super::Shared;
use super::batch::{BatchError, Scene};
use super::command::{Answer, Command};
use super::correction::{self, Correction, NewFacts, Priced};
use super::counters::{self, Counters, Target};
use super::drafts::want_event;
use super::pins::Pins;
use super::settle::quantities;
use super::totals::{Place, Totals};
use crate::app::AppError;
use crate::live::Touch;
use crate::store::adjustments::{self, AnsweredRequest, Leg, RequestKey, Sign, Standing};
use crate::store::budgets::ActiveBudget;
use crate::store::dictionary::{Numbers, Wanted, sheet_digest};
use crate::store::shape::Shape;
use crate::store::usage::{self, NewEvent};
use crate::store::windows::WindowKey;
use crate::tenant::TenantId;

/// Corrections of events, all of them or none.
#[derive(Debug, Clone)]
pub struct Adjust {
    /// The request behind it: the same one again gets its first answer.
    pub key: RequestKey,
    /// Digest of everything that the request says.
    pub digest: Uuid,
    /// Why.
    pub reason: String,
    /// The corrections, of different events.
    pub corrections: Vec<Correction>,
    /// Whether nothing is to be changed.
    pub validate_only: bool,
    /// What the caller's key pins: an event that stands otherwise is not there for it.
    pub pins: Pins,
    /// What is kept as the answer, where the caller knows it already; the counters are then left out.
    pub told: Option<serde_json::Value>,
}

/// What corrections changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjustAnswer {
    /// The revision of the first event.
    pub revision: i64,
    /// By how much the costs changed.
    pub usd_delta: Usd,
    /// The counters that changed, as they are after it.
    pub budgets: Vec<BudgetState>,
    /// What the caller knew to be the answer.
    pub told: Option<serde_json::Value>,
}

/// A correction whose event is locked.
struct Corrected<'a> {
    correction: &'a Correction,
    standing: Standing,
    new: Option<New>,
    old_targets: Vec<Target>,
}

/// The facts as they should be, with where they count.
struct New {
    facts: NewFacts,
    shape: Uuid,
    sheet: Option<Uuid>,
    targets: Vec<Target>,
}

/// What a command comes to.
enum Fate<'a> {
    Refused(AppError),
    /// Answered before this batch.
    Repeated(AdjustAnswer),
    Corrects(Vec<Corrected<'a>>),
}

/// The corrections of a batch, by index of their command.
#[derive(Default)]
pub(super) struct Adjustments<'a> {
    fates: BTreeMap<usize, (&'a Adjust, Fate<'a>)>,
    answered: Vec<AnsweredRequest>,
}

impl<'a> Adjustments<'a> {
    /// Locks the events and works out what they should be, and what the dictionaries are asked for. Before anything is
    /// added to the dictionaries: whoever waits for an event holds nothing that others wait for.
    pub(super) async fn prepare(
        shared: &Shared,
        connection: &mut PgConnection,
        scene: &Scene<'a>,
        wanted: &mut Wanted,
    ) -> Result<Self, BatchError> {
        let asked: Vec<(usize, &Adjust)> = scene
            .commands
            .iter()
            .enumerate()
            .filter_map(|(index, command)| match command {
                Command::Adjust(adjust, _) => Some((index, &**adjust)),
                _ => None,
            })
            .collect();
        if asked.is_empty() {
            return Ok(Self::default());
        }
        // Locked first: a request that waited for the same one sees its answer.
        let mut standings = standings(shared, connection, scene.tenant, &asked).await?;
        let keys = asked.iter().map(|(_, adjust)| &adjust.key);
        let answered = adjustments::find_requests(connection, scene.tenant, keys).await?;
        let answered: HashMap<RequestKey, AnsweredRequest> =
            answered.into_iter().map(|request| (request.key.clone(), request)).collect();
        let mut fates = BTreeMap::new();
        for (index, adjust) in asked {
            let fate = match answered.get(&adjust.key) {
                Some(known) => repeated(adjust, known)?,
                None => corrected(adjust, scene, &mut standings)?,
            };
            if let Fate::Corrects(corrected) = &fate {
                corrected.iter().filter_map(|one| one.new.as_ref()).for_each(|new| new.want(wanted));
            }
            fates.insert(index, (adjust, fate));
        }
        Ok(Self { fates, answered: Vec::new() })
    }

    fn corrected(&self) -> impl Iterator<Item = (&'a Adjust, &Corrected<'a>)> {
        self.fates.values().flat_map(|(adjust, fate)| {
            let corrected = match fate {
                Fate::Corrects(corrected) => corrected.as_slice(),
                Fate::Refused(_) | Fate::Repeated(_) => &[],
            };
            corrected.iter().map(move |one| (*adjust, one))
        })
    }

    /// Appends the legs and adds them to the totals.
    pub(super) async fn insert(
        &self,
        connection: &mut PgConnection,
        scene: &Scene<'_>,
        numbers: &Numbers,
        totals: &mut Totals,
    ) -> Result<(), BatchError> {
        let mut legs = Vec::new();
        for (adjust, corrected) in self.corrected() {
            let leg = |row, sign| Leg {
                row,
                revision: corrected.revision(),
                sign,
                kind: corrected.correction.change.kind(),
                request_id: adjust.key.request_id,
                reason: adjust.reason.clone(),
            };
            let current = corrected.standing.current();
            if !corrected.standing.cancelled {
                let place = Place::of(&corrected.standing.row, current.event.start_time);
                totals.add(&place, &Measures::of(&current.event, &current.charge)?.negated()?, true)?;
                legs.push(leg(corrected.standing.row.clone(), Sign::Reversed));
            }
            if let Some(new) = &corrected.new {
                let row = new.row(&corrected.standing, numbers)?;
                let place = Place::of(&row, new.facts.event.start_time);
                totals.add(&place, &Measures::of(&new.facts.event, &new.facts.charge)?, true)?;
                legs.push(leg(row, Sign::Added));
            }
        }
        Ok(adjustments::insert(connection, scene.tenant, &legs, scene.now).await?)
    }

    /// Asks for the counters that the events were charged to, and that they should have been.
    pub(super) fn need_counters(&self, counters: &mut Counters) {
        for (_, corrected) in self.corrected() {
            let new = corrected.new.iter().flat_map(|new| &new.targets);
            corrected.old_targets.iter().chain(new).for_each(|target| counters.need(target));
        }
    }

    /// Moves the counters, and answers.
    pub(super) fn settle(
        &mut self,
        index: usize,
        scene: &Scene<'_>,
        counters: &mut Counters,
    ) -> Result<Result<Answer, AppError>, BatchError> {
        let missing = || BatchError::Command("a correction was not prepared");
        let (adjust, fate) = self.fates.get(&index).ok_or_else(missing)?;
        let corrected = match fate {
            Fate::Refused(error) => return Ok(Err(error.clone())),
            Fate::Repeated(answer) => return Ok(Ok(Answer::Adjusted(Box::new(answer.clone())))),
            Fate::Corrects(corrected) => corrected,
        };
        let mut moved: BTreeMap<WindowKey, Arc<ActiveBudget>> = BTreeMap::new();
        let mut usd_delta = Usd::ZERO;
        for one in corrected {
            usd_delta = usd_delta.plus(one.usd_delta()?)?;
            for (key, (target, difference)) in one.differences()? {
                let limit = counters.limit(&target.budget, &key)?;
                let counter = counters.change(&key)?;
                if target.bounds.end > scene.now {
                    counter.note_limit(limit);
                }
                if target.budget.backfilling {
                    counter.count(difference)?;
                } else {
                    counter.correct(difference, one.correction.change.cause())?;
                }
                moved.insert(key, target.budget.clone());
            }
        }
        let mut budgets = Vec::new();
        if adjust.told.is_none() {
            for (key, budget) in &moved {
                budgets.push(counters.state(budget, key, None, false)?);
            }
        }
        let revision = corrected.first().map_or(0, Corrected::revision);
        let answer = AdjustAnswer { revision, usd_delta, budgets, told: adjust.told.clone() };
        let kept = serde_json::to_value(&answer).map_err(|_| BatchError::Command("an answer cannot be kept"))?;
        self.answered.push(AnsweredRequest { key: adjust.key.clone(), digest: adjust.digest, answer: kept });
        Ok(Ok(Answer::Adjusted(Box::new(answer))))
    }

    /// Keeps the answers of the requests. One that another writer answered meanwhile starts the batch over.
    pub(super) async fn write_requests(
        &self,
        connection: &mut PgConnection,
        scene: &Scene<'_>,
    ) -> Result<(), BatchError> {
        if self.answered.is_empty() {
            return Ok(());
        }
        let added = adjustments::add_requests(connection, scene.tenant, &self.answered, scene.now).await?;
        if added < self.answered.len() { Err(BatchError::Raced) } else { Ok(()) }
    }

    /// Whose totals moved: both those that were charged and those that are.
    pub(super) fn touches(&self, tenant: TenantId) -> Vec<Touch> {
        let dimensions = self.corrected().flat_map(|(_, corrected)| {
            let new = corrected.new.as_ref().map(|new| &new.facts.event.dimensions);
            std::iter::once(&corrected.standing.current().event.dimensions).chain(new)
        });
        dimensions.map(|dimensions: &Dimensions| Touch::of(tenant, dimensions)).collect()
    }
}

impl Corrected<'_> {
    /// The revision that the correction makes.
    fn revision(&self) -> i64 {
        self.standing.revision + 1
    }

    fn usd_delta(&self) -> Result<Usd, BatchError> {
        let before = if self.standing.cancelled { Usd::ZERO } else { self.standing.current().charge.usd };
        let after = self.new.as_ref().map_or(Usd::ZERO, |new| new.facts.charge.usd);
        Ok(after.minus(before)?)
    }

    /// By how much each counter moves: at once for both legs, so that what comes back makes room for what is charged.
    fn differences(&self) -> Result<BTreeMap<WindowKey, (&Target, Amount)>, BatchError> {
        let mut differences: BTreeMap<WindowKey, (&Target, Amount)> = BTreeMap::new();
        let current = self.standing.current();
        let before = quantities(&current.event, &current.charge);
        for target in &self.old_targets {
            let entry = differences.entry(target.key).or_insert((target, Amount::ZERO));
            entry.1 = entry.1.minus(before.in_unit(target.budget.budget.unit)?)?;
        }
        if let Some(new) = &self.new {
            let after = quantities(&new.facts.event, &new.facts.charge);
            for target in &new.targets {
                let entry = differences.entry(target.key).or_insert((target, Amount::ZERO));
                entry.1 = entry.1.plus(after.in_unit(target.budget.budget.unit)?)?;
            }
        }
        differences.retain(|_, (_, difference)| !difference.is_zero());
        Ok(differences)
    }
}

impl New {
    fn want(&self, wanted: &mut Wanted) {
        want_event(wanted, &self.facts.event, self.shape);
        if let (Some(digest), Priced::By(Some(sheet))) = (self.sheet, &self.facts.priced) {
            wanted.sheets.insert(digest, sheet.clone());
        }
    }

    /// Its row. One that is only priced again keeps every other column as it is.
    fn row(&self, standing: &Standing, numbers: &Numbers) -> Result<crate::store::event_row::EventRow, BatchError> {
        let facts = &self.facts;
        let price_sheet_id = match &facts.priced {
            Priced::AsBefore => standing.row.price_sheet_id,
            Priced::By(_) => self.sheet.map(|digest| numbers.sheet(digest)).transpose()?,
        };
        let current = standing.current();
        if facts.event == current.event {
            return Ok(usage::repriced(&standing.row, price_sheet_id, &facts.charge));
        }
        let new = NewEvent {
            event_id: standing.first.event_id,
            event: &facts.event,
            shape_id: numbers.shape(self.shape)?,
            is_folded: numbers.is_folded(self.shape),
            price_sheet_id,
            charge: &facts.charge,
            charge_time: facts.charge_time,
            record_time: standing.first.record_time,
            notices: current.notices,
            fingerprint: facts.fingerprint,
        };
        Ok(usage::encode(&new, numbers)?)
    }
}

/// How the events stand that are corrected, once they are locked.
async fn standings(
    shared: &Shared,
    connection: &mut PgConnection,
    tenant: TenantId,
    asked: &[(usize, &Adjust)],
) -> Result<HashMap<Uuid, Standing>, BatchError> {
    let corrections = asked.iter().flat_map(|(_, adjust)| &adjust.corrections);
    let ids: BTreeSet<Uuid> = corrections.map(|correction| correction.event_id).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    adjustments::lock_events(connection, tenant, &ids).await?;
    // In a statement of its own, whose snapshot comes after the locks.
    let rows = usage::rows(connection, tenant, &ids).await?;
    let standings = adjustments::standing(connection, &shared.dictionary, tenant, rows).await?;
    Ok(standings.into_iter().map(|standing| (standing.first.event_id, standing)).collect())
}

fn repeated<'a>(adjust: &Adjust, known: &AnsweredRequest) -> Result<Fate<'a>, BatchError> {
    if known.digest != adjust.digest {
        return Ok(Fate::Refused(AppError::RequestIdReused(adjust.key.request_id.to_string())));
    }
    let answer = serde_json::from_value(known.answer.clone());
    Ok(Fate::Repeated(answer.map_err(|_| BatchError::Command("a kept answer cannot be read"))?))
}

/// Every correction of a command, or what refuses it.
fn corrected<'a>(
    adjust: &'a Adjust,
    scene: &Scene<'_>,
    standings: &mut HashMap<Uuid, Standing>,
) -> Result<Fate<'a>, BatchError> {
    let mut corrected = Vec::with_capacity(adjust.corrections.len());
    for correction in &adjust.corrections {
        let Some(standing) = standings.remove(&correction.event_id) else {
            return Ok(Fate::Refused(correction::unknown(correction.event_id)));
        };
        if !adjust.pins.admit(&standing.current().event.dimensions, &scene.budgets.erasers) {
            return Ok(Fate::Refused(correction::unknown(correction.event_id)));
        }
        let facts = match correction::facts(correction, &standing) {
            Ok(facts) => facts,
            Err(refusal) => return Ok(Fate::Refused(refusal)),
        };
        let current = standing.current();
        let old_targets =
            if standing.cancelled { Vec::new() } else { targets(scene, &current.event, current.charge_time)? };
        let new = facts.map(|facts| new(scene, facts)).transpose()?;
        corrected.push(Corrected { correction, standing, new, old_targets });
    }
    Ok(Fate::Corrects(corrected))
}

fn new(scene: &Scene<'_>, facts: NewFacts) -> Result<New, BatchError> {
    let sheet = match &facts.priced {
        Priced::By(Some(sheet)) => Some(sheet_digest(sheet)?),
        Priced::By(None) | Priced::AsBefore => None,
    };
    let shape = Shape::digest_of(&facts.event, &facts.event.dimensions);
    let targets = targets(scene, &facts.event, facts.charge_time)?;
    Ok(New { facts, shape, sheet, targets })
}

/// The counters that these facts are charged to; memo accounting charges none.
fn targets(scene: &Scene<'_>, event: &UsageEvent, charge_time: jiff::Timestamp) -> Result<Vec<Target>, BatchError> {
    match event.accounting {
        Accounting::Enforced => {
            counters::charged(&scene.budgets, &event.dimensions, event.model(), charge_time, &scene.calendar)
        }
        Accounting::Memo => Ok(Vec::new()),
    }
}
