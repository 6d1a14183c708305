//! The events of a batch: which are new, what they add to totals, and how they are charged.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _};
use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, Usd};
use tollgate_domain::digest::Digester;
use tollgate_domain::dimensions::{Dimension, DimensionKind};
use tollgate_domain::event::{Accounting, EventKey, UsageEvent};
use tollgate_domain::measures::{Charge, Measures};
use tollgate_domain::notices::Notices;
use tollgate_domain::price::{Estimate, LineKind, PriceSheet, PriceState, REQUEST_UNIT, Rate, UnitCount, UnitPrice};
use tollgate_domain::reservation::State;
use tollgate_domain::tokens::{TokenUsage, UsageQuality};
use uuid::Uuid;

use super::batch::{BatchError, Scene};
use super::command::{Answer, Command, Record, RecordAnswer};
use super::counters::{self, Counters, Target};
use super::settle::{self, Reservations};
use super::totals::{Place, Totals};
use super::{LedgerSettings, Shared};
use crate::app::AppError;
use crate::live::Touch;
use crate::store::dictionary::{Dictionary, Numbers, Wanted};
use crate::store::event_row::EventRow;
use crate::store::ledger;
use crate::store::reservations::{Context, Reservation};
use crate::store::shape::Shape;
use crate::store::usage::{self, NewEvent, StoredEvent};
use crate::tenant::TenantId;

/// One event on its way into the ledger.
pub(super) struct Draft<'a> {
    pub(super) record: &'a Record,
    pub(super) event_id: Uuid,
    /// The event as it is charged: with the reservation's dimensions, its unknown usage filled in.
    pub(super) event: Cow<'a, UsageEvent>,
    pub(super) charge: Cow<'a, Charge>,
    pub(super) charge_time: Timestamp,
    pub(super) targets: Vec<Target>,
    pub(super) notices: Notices,
    shape: Uuid,
    sheet: Option<(Uuid, Arc<PriceSheet>)>,
    fate: Fate,
    late_notices: bool,
}

/// What becomes of a draft.
enum Fate {
    New,
    /// Recorded before this batch.
    Stored(Box<StoredEvent>),
    /// The same id came earlier in this batch, at this index.
    Follows(usize),
}

/// The batch's events, by index of their command.
pub(super) struct Drafts<'a> {
    // Boxed: drafts are large, and a tree moves its values about.
    drafts: BTreeMap<usize, Box<Draft<'a>>>,
    refused: HashMap<usize, AppError>,
    settled: HashMap<usize, RecordAnswer>,
    wanted: Wanted,
}

impl<'a> Drafts<'a> {
    /// Resolves dimensions, usage, charge time and counters of every event.
    pub(super) fn prepare(
        scene: &Scene<'a>,
        reservations: &Reservations,
        settings: &LedgerSettings,
        dictionary: &Dictionary,
    ) -> Result<Self, BatchError> {
        let mut drafts = Self {
            drafts: BTreeMap::new(),
            refused: HashMap::new(),
            settled: HashMap::new(),
            wanted: Wanted::default(),
        };
        for (index, command) in scene.commands.iter().enumerate() {
            let Command::Record(record, _) = command else { continue };
            let event_id = event_id(&record.event);
            if let Err(error) = check_age(event_id, scene.now, settings) {
                drafts.refused.insert(index, error);
                continue;
            }
            let draft = draft(record, event_id, scene, reservations, settings, dictionary)?;
            drafts.drafts.insert(index, Box::new(draft));
        }
        Ok(drafts)
    }

    /// Finds which events are told twice in this batch, and those that are mapped to an id by an external key.
    pub(super) async fn identify(
        &mut self,
        connection: &mut PgConnection,
        scene: &Scene<'_>,
    ) -> Result<(), BatchError> {
        self.resolve_external_keys(connection, scene).await?;
        let mut first_of: HashMap<Uuid, usize> = HashMap::new();
        for (index, draft) in &mut self.drafts {
            match first_of.entry(draft.event_id) {
                Entry::Occupied(first) => draft.fate = Fate::Follows(*first.get()),
                Entry::Vacant(place) => {
                    place.insert(*index);
                }
            }
        }
        Ok(())
    }

    /// Finds the numbers of what new events name. What was recorded before adds nothing to the dictionaries: its names may have been
    /// erased since.
    pub(super) async fn resolve(
        &mut self,
        shared: &Shared,
        connection: &mut PgConnection,
        tenant: TenantId,
    ) -> Result<Numbers, BatchError> {
        let Self { drafts, wanted, .. } = self;
        for draft in drafts.values().filter(|draft| matches!(draft.fate, Fate::New)) {
            want_event(wanted, &draft.event, draft.shape);
            if let Some((digest, sheet)) = &draft.sheet {
                wanted.sheets.insert(*digest, sheet.clone());
            }
        }
        if wanted.is_empty() {
            return Ok(Numbers::default());
        }
        Ok(shared.dictionary.resolve(connection, tenant, wanted).await?)
    }

    /// The rows of new events. Sorted by id: two writers with the same events wait for each other in one order.
    pub(super) fn rows(&self, scene: &Scene<'_>, numbers: &Numbers) -> Result<Vec<EventRow>, BatchError> {
        let mut leaders: Vec<&Draft<'_>> = self.new_drafts().collect();
        leaders.sort_unstable_by_key(|draft| draft.event_id);
        let row = |draft: &Draft<'_>| {
            let new = NewEvent {
                event_id: draft.event_id,
                event: &draft.event,
                shape_id: numbers.shape(draft.shape)?,
                is_folded: numbers.is_folded(draft.shape),
                price_sheet_id: draft.sheet.as_ref().map(|(digest, _)| numbers.sheet(*digest)).transpose()?,
                charge: &draft.charge,
                charge_time: draft.charge_time,
                record_time: scene.now,
                notices: draft.notices,
                fingerprint: draft.record.fingerprint,
            };
            Ok(usage::encode(&new, numbers)?)
        };
        leaders.into_iter().map(row).collect()
    }

    async fn resolve_external_keys(
        &mut self,
        connection: &mut PgConnection,
        scene: &Scene<'_>,
    ) -> Result<(), BatchError> {
        let mut claims = BTreeMap::new();
        for draft in self.drafts.values() {
            if let EventKey::External { source, key } = &draft.record.event.key {
                claims.entry((source.clone(), key.clone())).or_insert(draft.event_id);
            }
        }
        if claims.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = claims.values().copied().collect();
        let (sources, keys): (Vec<String>, Vec<String>) = claims.into_keys().unzip();
        let claimed = ledger::claim_external_keys(connection, scene.tenant, &sources, &keys, &ids).await?;
        let claimed: HashMap<(String, String), Uuid> =
            claimed.into_iter().map(|(source, key, id)| ((source, key), id)).collect();
        for draft in self.drafts.values_mut() {
            if let EventKey::External { source, key } = &draft.record.event.key
                && let Some(id) = claimed.get(&(source.clone(), key.clone()))
            {
                draft.event_id = *id;
            }
        }
        Ok(())
    }

    /// Finds those that were recorded before this batch.
    pub(super) async fn find_stored(
        &mut self,
        shared: &Shared,
        connection: &mut PgConnection,
        tenant: TenantId,
    ) -> Result<(), BatchError> {
        let ids: Vec<Uuid> = self.new_drafts().map(|draft| draft.event_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let rows = usage::rows(connection, tenant, &ids).await?;
        let stored = usage::decode(connection, &shared.dictionary, tenant, rows).await?;
        let mut stored: HashMap<Uuid, StoredEvent> = stored.into_iter().map(|event| (event.event_id, event)).collect();
        for draft in self.drafts.values_mut().filter(|draft| matches!(draft.fate, Fate::New)) {
            if let Some(found) = stored.remove(&draft.event_id) {
                draft.fate = Fate::Stored(Box::new(found));
            }
        }
        Ok(())
    }

    /// Those that were not recorded before.
    pub(super) fn new_drafts(&self) -> impl Iterator<Item = &Draft<'a>> {
        self.drafts.values().map(AsRef::as_ref).filter(|draft: &&Draft<'a>| matches!(draft.fate, Fate::New))
    }

    /// Adds what is new to session totals and rollups.
    pub(super) fn add_totals(&self, numbers: &Numbers, totals: &mut Totals) -> Result<(), BatchError> {
        for draft in self.new_drafts() {
            let measures = Measures::of(&draft.event, &draft.charge)?;
            let dimensions = &draft.event.dimensions;
            let number = |dimension: Dimension, value: Option<&str>| {
                value.map(|value| numbers.symbol(dimension, value)).transpose()
            };
            let place = Place {
                session: number(Dimension::SessionId, dimensions.get(Dimension::SessionId))?,
                root_apart: number(Dimension::SessionId, draft.root_apart())?,
                user: number(Dimension::UserId, dimensions.get(Dimension::UserId))?,
                shape: numbers.shape(draft.shape)?,
                start_time: draft.event.start_time,
            };
            totals.add(&place, &measures, false)?;
        }
        Ok(())
    }

    /// Asks for the counters that new events are charged to or held in.
    pub(super) fn need_counters(&self, reservations: &Reservations, counters: &mut Counters) {
        for draft in self.new_drafts() {
            let held = draft.event.reservation.and_then(|used| reservations.get(used.reservation_id));
            for part in held.iter().flat_map(|reservation| &reservation.parts) {
                counters.need_existing(settle::key_of(part));
            }
            for target in &draft.targets {
                counters.need(target);
            }
        }
    }

    /// Charges one event, or answers for its earlier telling.
    pub(super) fn settle(
        &mut self,
        index: usize,
        scene: &Scene<'_>,
        reservations: &mut Reservations,
        counters: &mut Counters,
    ) -> Result<Result<Answer, AppError>, BatchError> {
        if let Some(error) = self.refused.remove(&index) {
            return Ok(Err(error));
        }
        let draft = self.drafts.get_mut(&index).ok_or(BatchError::Command("an event was not prepared"))?;
        let answer = match &draft.fate {
            Fate::New => {
                let before = draft.notices;
                let answer = settle::settle(draft, scene, reservations, counters)?;
                draft.late_notices = draft.notices != before;
                self.settled.insert(index, answer.clone());
                Ok(answer)
            }
            Fate::Stored(stored) => answer_for_stored(draft, stored),
            Fate::Follows(first) => {
                let first = *first;
                self.answer_for_follower(index, first)?
            }
        };
        Ok(answer.map(|answer| Answer::Recorded(Box::new(answer))))
    }

    fn answer_for_follower(&self, index: usize, first: usize) -> Result<Result<RecordAnswer, AppError>, BatchError> {
        let missing = || BatchError::Command("an event was not prepared");
        let draft = self.drafts.get(&index).ok_or_else(missing)?;
        let leader = self.drafts.get(&first).ok_or_else(missing)?;
        if let Fate::Stored(stored) = &leader.fate {
            return Ok(answer_for_stored(draft, stored));
        }
        if draft.record.fingerprint != leader.record.fingerprint {
            let fields = draft.record.event.differing_fields(&leader.record.event);
            return Ok(Err(AppError::EventIdReused { event_id: draft.event_id.to_string(), fields }));
        }
        let answer = self.settled.get(&first).ok_or_else(missing)?;
        Ok(Ok(RecordAnswer { duplicate: true, ..answer.clone() }))
    }

    /// Stores notices that only charging showed.
    pub(super) async fn write_late_notices(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
    ) -> Result<(), BatchError> {
        let late: Vec<&Draft<'_>> = self.new_drafts().filter(|draft| draft.late_notices).collect();
        if late.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = late.iter().map(|draft| draft.event_id).collect();
        let notices: Vec<i16> = late.iter().map(|draft| draft.notices.code()).collect();
        Ok(ledger::add_notices(connection, tenant, &ids, &notices).await?)
    }

    /// What the batch asks the dictionaries for.
    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The same, for others of the batch to add to: all that is new is added at once, in one order.
    pub(super) fn wanted_mut(&mut self) -> &mut Wanted {
        &mut self.wanted
    }

    /// Budgets that new events are charged to.
    pub(super) fn matched(&self) -> impl Iterator<Item = i64> {
        self.new_drafts().flat_map(|draft| draft.targets.iter().map(|target| target.key.budget))
    }

    /// How far new events could be priced, and how they were charged.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (PriceState, Notices)> {
        self.new_drafts().map(|draft| (draft.charge.cost.state, draft.notices))
    }

    /// Whose totals moved: those of new events, and those whose holds did.
    pub(super) fn touches(&self, scene: &Scene<'_>) -> Vec<Touch> {
        let recorded = self.new_drafts().map(|draft| Touch::of(scene.tenant, &draft.event.dimensions));
        let checked = scene.commands.iter().filter_map(|command| match command {
            Command::Reserve(reserve, _) => Some(Touch::of(scene.tenant, &reserve.plan.dimensions)),
            _ => None,
        });
        recorded.chain(checked).collect()
    }
}

impl Draft<'_> {
    /// The root session, where it is not the session itself.
    fn root_apart(&self) -> Option<&str> {
        let dimensions = &self.event.dimensions;
        let session = dimensions.get(Dimension::SessionId)?;
        dimensions.root_session().filter(|root| *root != session)
    }
}

/// Asks for the numbers of an event's dimensions and of its shape, whose digest is `shape`.
pub(super) fn want_event(wanted: &mut Wanted, event: &UsageEvent, shape: Uuid) {
    for (dimension, value) in &event.dimensions.values {
        if dimension.kind() == DimensionKind::Entity {
            wanted.want(*dimension, value);
        }
    }
    wanted.shapes.entry(shape).or_insert_with(|| {
        let made = Shape::of(event, &event.dimensions);
        debug_assert_eq!(made.digest(), shape, "the digest of a shape, made or not");
        made
    });
}

/// The id of an event: its own, or one made of its external key, placed at its start.
fn event_id(event: &UsageEvent) -> Uuid {
    match &event.key {
        EventKey::Id(id) => *id,
        EventKey::External { source, key } => {
            let mut digester = Digester::new();
            digester.field(source).field(key);
            let random = digester.finish().as_u128();
            let milliseconds = u64::try_from(event.start_time.as_millisecond()).unwrap_or(0);
            let [_, _, _, _, _, _, tail @ ..] = random.to_be_bytes();
            uuid::Builder::from_unix_timestamp_millis(milliseconds, &tail).into_uuid()
        }
    }
}

/// The time inside a UUIDv7.
fn time_of(id: Uuid) -> Option<Timestamp> {
    let milliseconds = i64::try_from(id.as_u128() >> 80).ok()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

/// Contract, decision 8: an id is accepted while its partition exists, and up to 48 hours ahead.
fn check_age(id: Uuid, now: Timestamp, settings: &LedgerSettings) -> Result<(), AppError> {
    let hours = |span: std::time::Duration| i64::try_from(span.as_secs() / 3_600).unwrap_or(0).hours();
    let oldest = now.checked_sub(hours(settings.retention)).unwrap_or(Timestamp::MIN);
    let newest = now.checked_add(hours(settings.ahead)).unwrap_or(Timestamp::MAX);
    match time_of(id) {
        Some(time) if time < oldest => Err(AppError::EventTooOld { oldest: oldest.to_string() }),
        Some(time) if time <= newest => Ok(()),
        _ => Err(AppError::EventTooFarAhead { newest: newest.to_string() }),
    }
}

fn draft<'a>(
    record: &'a Record,
    event_id: Uuid,
    scene: &Scene<'_>,
    reservations: &Reservations,
    settings: &LedgerSettings,
    dictionary: &Dictionary,
) -> Result<Draft<'a>, BatchError> {
    let named = record.event.reservation.and_then(|used| reservations.get(used.reservation_id));
    let held = named.filter(|known| record.pins.admit_reservation(known, &scene.budgets.erasers));
    let is_of_others = named.is_some() && held.is_none();
    let checked = held.and_then(|reservation| Some((reservation, reservation.context.as_ref()?)));
    let mut event = Cow::Borrowed(&record.event);
    if is_of_others {
        // Usage is a fact and is recorded; what was held for somebody else stays held for them.
        event.to_mut().reservation = None;
    }
    let mut charge = Cow::Borrowed(&record.charge);
    let mut sheet = record.sheet.clone();
    if let Some((reservation, context)) = checked {
        event.to_mut().dimensions = context.dimensions.clone();
        if let Some(known) = fill_unknown(&event, reservation, context, sheet.as_ref()) {
            sheet = known.sheet.or(sheet);
            let filled = event.to_mut();
            filled.units.extend(known.units);
            filled.usage = Some(known.usage);
            let cost = event
                .used()
                .bill(sheet.as_deref())
                .map_err(|_| BatchError::Command("unknown usage cannot be priced"))?;
            charge = Cow::Owned(Charge::of(&event, cost));
        }
    }
    let charge_time =
        checked.map_or_else(|| event.start_time.min(scene.now), |(reservation, _)| reservation.create_time);
    let targets = match event.accounting {
        Accounting::Enforced => {
            counters::charged(&scene.budgets, &event.dimensions, event.model(), charge_time, &scene.calendar)?
        }
        Accounting::Memo => Vec::new(),
    };
    let shape = Shape::digest_of(&event, &event.dimensions);
    // Kept as it applies to this call: the cost of many can then be computed from their summed counts.
    let sheet = sheet.map(|sheet| sheet.applied_to(event.used().own().as_ref()));
    let sheet = sheet.map(|sheet| Ok::<_, BatchError>((dictionary.sheet_digest(&sheet)?, sheet))).transpose()?;
    let mut notices =
        notices_before_charging(&targets, held.is_some(), checked.map(|(reservation, _)| reservation), scene);
    if is_of_others {
        notices.add(Notices::UNRESERVED);
    }
    let reported = event.reported_usd().filter(|_| !event.response_cache_hit);
    if reported.is_some_and(|usd| settings.reported_cost.is_exceeded(usd, &charge.cost)) {
        notices.add(Notices::REPORTED_COST_DIFFERS);
    }
    Ok(Draft {
        record,
        event_id,
        event,
        charge,
        charge_time,
        targets,
        notices,
        shape,
        sheet,
        fate: Fate::New,
        late_notices: false,
    })
}

/// What stands in for usage that nobody knows.
struct StandIn {
    usage: TokenUsage,
    units: Vec<UnitCount>,
    sheet: Option<Arc<PriceSheet>>,
}

/// Usage that nobody knows is charged as the last running usage, else as what was held for, less what the reservation's
/// events were charged before.
fn fill_unknown(
    event: &UsageEvent,
    reservation: &Reservation,
    context: &Context,
    sheet: Option<&Arc<PriceSheet>>,
) -> Option<StandIn> {
    let usage = event.usage.as_ref()?;
    if usage.quality != UsageQuality::Unknown || usage.total_input.is_some() || usage.total_output.is_some() {
        return None;
    }
    let progress = &reservation.progress;
    let running = progress.running.as_ref();
    let input = running.and_then(|running| running.total_input).unwrap_or(context.worst.input_tokens);
    let output = running.and_then(|running| running.total_output).unwrap_or(context.worst.output_tokens);
    let first = progress.charged_input == 0 && progress.charged_output == 0;
    // Parts belong to the whole call: they say nothing of what is left of it.
    let parts = running.filter(|_| first).map(|running| running.parts.clone()).unwrap_or_default();
    let usage = TokenUsage {
        total_input: Some(input.saturating_sub(progress.charged_input)),
        total_output: Some(output.saturating_sub(progress.charged_output)),
        reported_total: None,
        parts,
        quality: UsageQuality::Unknown,
    };
    let stated = context.estimate.amount_usd.filter(|_| running.is_none());
    match stated {
        Some(amount) => Some(stated_amount(amount, progress.charged_usd, &context.model.model, usage)),
        None => {
            let mut units = if first { context.estimate.units.clone() } else { Vec::new() };
            // One stand-in for several calls pays their fees, and is priced by the size of one of them.
            let calls = context.estimate.calls();
            let fee = sheet.and_then(|sheet| sheet.request_rate()).filter(|_| first && calls > 1);
            if fee.is_some() && !units.iter().any(|count| count.unit == REQUEST_UNIT) {
                units.push(UnitCount { unit: REQUEST_UNIT.to_owned(), quantity: Amount::from_count(calls).ok()? });
            }
            let sheet = sheet.map(|sheet| sheet.applied(size_of_one_call(&context.estimate, &usage)));
            Some(StandIn { usage, units, sheet })
        }
    }
}

/// The input tokens that decide between rates by context size, where `usage` may stand for several calls.
pub(super) fn size_of_one_call(estimate: &Estimate, usage: &TokenUsage) -> u64 {
    if estimate.calls() > 1 { estimate.context() } else { usage.total_input.unwrap_or(0) }
}

/// The unit of a charge that a caller stated: no catalog prices it.
pub(crate) const STATED_UNIT: &str = "stated_usd";

/// A hold for an amount that the caller stated is charged as that amount: dollars at a price of one dollar.
fn stated_amount(amount: Usd, charged: Usd, model: &str, usage: TokenUsage) -> StandIn {
    let left = amount.minus(charged).unwrap_or_default().max(Usd::ZERO);
    let sheet = PriceSheet {
        catalog_version: String::new(),
        provider_name: String::new(),
        model: model.to_owned(),
        rates: vec![Rate::new(
            LineKind::Unit(STATED_UNIT.to_owned()),
            UnitPrice::each(rust_decimal::Decimal::ONE),
            "stated-by-caller",
        )],
        max_output_tokens: 0,
        others: BTreeMap::new(),
    };
    let units = vec![UnitCount { unit: STATED_UNIT.to_owned(), quantity: Amount::from(left) }];
    StandIn {
        usage: TokenUsage { total_input: None, total_output: None, ..usage },
        units,
        sheet: Some(Arc::new(sheet)),
    }
}

fn notices_before_charging(
    targets: &[Target],
    named: bool,
    reservation: Option<&Reservation>,
    scene: &Scene<'_>,
) -> Notices {
    let mut notices = Notices::none();
    let deciding = |target: &&Target| !target.budget.backfilling && target.budget.budget.is_in_force(scene.now);
    match reservation {
        Some(reservation) => {
            if reservation.state != State::Pending {
                notices.add(Notices::LATE);
            }
            let held = |target: &Target| reservation.parts.iter().any(|part| part.budget == target.key.budget);
            if targets.iter().filter(deciding).any(|target| !held(target)) {
                notices.add(Notices::NOT_HELD);
            }
        }
        None => {
            if named {
                notices.add(Notices::LATE);
            }
            if targets.iter().filter(deciding).any(|target| target.budget.budget.is_hard()) {
                notices.add(Notices::UNRESERVED);
            }
        }
    }
    if targets.iter().any(|target| target.bounds.end <= scene.now) {
        notices.add(Notices::CLOSED_WINDOW);
    }
    notices
}

fn answer_for_stored(draft: &Draft<'_>, stored: &StoredEvent) -> Result<RecordAnswer, AppError> {
    if draft.record.fingerprint != stored.fingerprint {
        let mut fields = draft.record.event.differing_fields(&stored.event);
        // A settled event carries its reservation's dimensions, so only what the caller can differ in is named.
        if stored.event.reservation.is_some() && fields.len() > 1 {
            fields.retain(|field| {
                Dimension::from_name(field).is_none_or(|dimension| dimension.kind() == DimensionKind::Call)
            });
        }
        return Err(AppError::EventIdReused { event_id: draft.event_id.to_string(), fields });
    }
    Ok(RecordAnswer {
        duplicate: true,
        event_id: stored.event_id,
        charge: stored.charge.clone(),
        charge_time: stored.charge_time,
        notices: stored.notices,
        reservation: None,
        budgets: Vec::new(),
        session_id: stored.event.dimensions.get(Dimension::SessionId).map(str::to_owned),
    })
}
