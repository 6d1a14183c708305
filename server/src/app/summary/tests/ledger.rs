//! Random events, recorded as the ledger records them: the row, the rollups and the session totals in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};
use tollgate_domain::amount::Amount;
use tollgate_domain::dimensions::{Dimension, DimensionKind, Dimensions};
use tollgate_domain::event::{Accounting, CallOutcome, EventKey, Origin, UsageEvent};
use tollgate_domain::measures::{Charge, Measures};
use tollgate_domain::model::ModelRef;
use tollgate_domain::notices::Notices;
use tollgate_domain::price::{LineKind, PriceSheet, Rate, UnitCount, UnitPrice, price};
use tollgate_domain::tokens::{TokenClass, TokenPart, TokenUsage, UsageQuality};
use uuid::Uuid;

use crate::store::adjustments::{self, AdjustmentKind, Leg, Sign};
use crate::store::dictionary::{Dictionary, Numbers, Wanted, sheet_digest};
use crate::store::event_row::EventRow;
use crate::store::ledger::{self, Conclusion, GRAIN_DAY, GRAIN_QUARTER, RollupKey, SessionKey};
use crate::store::shape::Shape;
use crate::store::usage::{NewEvent, encode};
use crate::tenant::TenantId;

/// First instant of the random events: clocks change in New York on the 10th and in Berlin on the 31st.
pub(crate) const START: &str = "2024-03-05T00:00:00Z";
/// Days over which they spread.
pub(crate) const DAYS: i64 = 35;

/// One recorded event, as the tests know it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) event: UsageEvent,
    pub(crate) sheet: Option<Arc<PriceSheet>>,
    pub(crate) charge: Charge,
    pub(crate) charge_time: Timestamp,
}

impl Known {
    pub(crate) fn shape(&self) -> Shape {
        Shape::of(&self.event, &self.event.dimensions)
    }

    pub(crate) fn measures(&self) -> Measures {
        Measures::of(&self.event, &self.charge).unwrap()
    }
}

fn sheet(model: &str, rates: &[(LineKind, &str)]) -> Arc<PriceSheet> {
    let rate = |(line, usd): &(LineKind, &str)| {
        Rate::new(line.clone(), UnitPrice::each(Decimal::from_str_exact(usd).unwrap()), format!("{model}/{line}"))
    };
    Arc::new(PriceSheet {
        catalog_version: "1".to_owned(),
        provider_name: "openai".to_owned(),
        model: model.to_owned(),
        rates: rates.iter().map(rate).collect(),
        max_output_tokens: 1_000,
        others: BTreeMap::new(),
    })
}

/// A plain sheet, one that rounds, one that prices units and times to live, and a free one.
fn sheets() -> Vec<(&'static str, Option<Arc<PriceSheet>>)> {
    let cache_write = LineKind::Class { class: TokenClass::CacheWrite, cache_ttl_seconds: Some(3_600) };
    vec![
        ("plain", Some(sheet("plain", &[(LineKind::InputText, "0.0000025"), (LineKind::OutputText, "0.00001")]))),
        (
            "fine",
            Some(sheet(
                "fine",
                &[(LineKind::InputText, "0.00000000000005"), (LineKind::OutputText, "0.0000000000015")],
            )),
        ),
        (
            "rich",
            Some(sheet(
                "rich",
                &[
                    (LineKind::InputText, "0.000003"),
                    (LineKind::OutputText, "0.000015"),
                    (LineKind::class(TokenClass::CacheRead), "0.0000003"),
                    (cache_write, "0.000006"),
                    (LineKind::Unit("web_search".to_owned()), "0.01"),
                ],
            )),
        ),
        ("free", Some(sheet("free", &[(LineKind::InputText, "0"), (LineKind::OutputText, "0")]))),
        ("unknown", None),
    ]
}

fn usage(random: &mut StdRng) -> Option<TokenUsage> {
    if random.random_bool(0.05) {
        return None;
    }
    let qualities = [UsageQuality::Reported, UsageQuality::Counted, UsageQuality::Estimated, UsageQuality::Unknown];
    let mut usage = TokenUsage::reported(random.random_range(100..5_000), random.random_range(0..1_000));
    usage.quality = *qualities.choose(random).unwrap();
    let mut part = |class, tokens, cache_ttl_seconds| usage.parts.push(TokenPart { class, tokens, cache_ttl_seconds });
    if random.random_bool(0.5) {
        part(TokenClass::CacheRead, random.random_range(0..40), None);
    }
    if random.random_bool(0.2) {
        part(TokenClass::CacheWrite, random.random_range(0..20), None);
        part(TokenClass::CacheWrite, random.random_range(1..20), Some(3_600));
    }
    if random.random_bool(0.1) {
        part(TokenClass::AudioIn, random.random_range(0..10), None);
    }
    Some(usage.validated("usage").unwrap())
}

fn dimensions(random: &mut StdRng) -> Dimensions {
    let mut dimensions = Dimensions::default();
    let mut set = |dimension, prefix: &str, count: u32, share: f64| {
        if random.random_bool(share) {
            dimensions.set(dimension, format!("{prefix}{}", random.random_range(0..count)));
        }
    };
    set(Dimension::AgentId, "agent-", 3, 0.8);
    set(Dimension::ProjectId, "project-", 2, 0.9);
    set(Dimension::UserId, "user-", 6, 0.8);
    set(Dimension::CustomerId, "customer-", 4, 0.5);
    set(Dimension::SessionId, "session-", 9, 0.9);
    set(Dimension::WorkflowStep, "", 3, 0.3);
    // Sessions 0 to 2 are roots, of themselves too, said or not; the others may have one.
    if let Some(session) = dimensions.get(Dimension::SessionId).map(str::to_owned)
        && random.random_bool(0.6)
    {
        let is_root = ["session-0", "session-1", "session-2"].contains(&session.as_str());
        let root = if is_root { session } else { format!("session-{}", random.random_range(0..3)) };
        dimensions.set(Dimension::RootSessionId, root);
    }
    if random.random_bool(0.4) {
        dimensions.labels.insert("team".to_owned(), format!("team-{}", random.random_range(0..3)));
    }
    dimensions
}

/// One random event.
fn event(random: &mut StdRng) -> Known {
    let start: Timestamp = START.parse().unwrap();
    let micros = random.random_range(0..DAYS * 86_400_000_000);
    let start_time = start + SignedDuration::from_micros(micros);
    let sheets = sheets();
    let (model, sheet) = sheets.choose(random).unwrap().clone();
    let outcomes = [CallOutcome::Ok, CallOutcome::Ok, CallOutcome::Error, CallOutcome::Absorbed, CallOutcome::Partial];
    let mut units = Vec::new();
    if random.random_bool(0.1) {
        units.push(UnitCount { unit: "web_search".to_owned(), quantity: "1.5".parse::<Amount>().unwrap() });
    }
    let reported = random.random_bool(0.2);
    let event = UsageEvent {
        key: EventKey::Id(Uuid::from_u128(random.random())),
        call_id: None,
        attempt: random.random_range(1..=2),
        start_time,
        end_time: random
            .random_bool(0.9)
            .then(|| start_time + SignedDuration::from_micros(random.random_range(0..9_000_000))),
        time_to_first_token_micros: None,
        dimensions: dimensions(random),
        operation_name: random.random_bool(0.5).then(|| "chat".to_owned()),
        request_model: ModelRef::new("openai", model),
        response_model: None,
        response_id: None,
        batch_id: None,
        usage: usage(random),
        units,
        additional: Vec::new(),
        usage_api: None,
        told: None,
        response_cache_hit: random.random_bool(0.1),
        outcome: *outcomes.choose(random).unwrap(),
        error_type: None,
        reservation: None,
        reported_cost: reported.then(|| "0.0123".parse().unwrap()),
        reported_currency: (reported && random.random_bool(0.3)).then(|| "EUR".to_owned()),
        accounting: if random.random_bool(0.1) { Accounting::Memo } else { Accounting::Enforced },
        origin: Origin::Live,
        trace_id: None,
        span_id: None,
        metadata_json: None,
    };
    let cost = price(event.usage.as_ref(), &event.units, sheet.as_deref()).unwrap();
    let charge = Charge::of(&event, cost);
    let late = random.random_bool(0.2);
    let charge_time = start_time - SignedDuration::from_secs(if late { random.random_range(0..90_000) } else { 0 });
    Known { event, sheet, charge, charge_time }
}

/// `count` random events, always the same for the same seed.
pub(crate) fn events(seed: u64, count: usize) -> Vec<Known> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| event(&mut random)).collect()
}

/// The numbers of everything that these events name.
async fn resolved(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    events: impl Iterator<Item = &Known>,
) -> Numbers {
    let mut wanted = Wanted::default();
    for known in events {
        for (dimension, value) in &known.event.dimensions.values {
            if dimension.kind() == DimensionKind::Entity {
                wanted.want(*dimension, value);
            }
        }
        if let Some(root) = known.event.dimensions.root_session() {
            wanted.want(Dimension::SessionId, root);
        }
        wanted.shapes.insert(known.shape().digest(), known.shape());
        if let Some(sheet) = &known.sheet {
            wanted.sheets.insert(sheet_digest(sheet).unwrap(), sheet.clone());
        }
    }
    dictionary.resolve(connection, tenant, &wanted).await.unwrap()
}

fn row(known: &Known, numbers: &Numbers) -> EventRow {
    let Known { event, sheet, charge, charge_time } = known;
    let EventKey::Id(event_id) = event.key else { panic!("an id") };
    let new = NewEvent {
        event_id,
        event,
        shape_id: numbers.shape(known.shape().digest()).unwrap(),
        is_folded: numbers.is_folded(known.shape().digest()),
        price_sheet_id: sheet.as_ref().map(|sheet| numbers.sheet(sheet_digest(sheet).unwrap()).unwrap()),
        charge,
        charge_time: *charge_time,
        record_time: event.start_time,
        notices: Notices::default(),
        fingerprint: event.fingerprint(),
    };
    encode(&new, numbers).unwrap()
}

/// What is added to totals and rollups.
#[derive(Default)]
struct Deltas {
    usage: BTreeMap<RollupKey, Measures>,
    users: BTreeMap<RollupKey, Measures>,
    sessions: BTreeMap<SessionKey, Measures>,
}

impl Deltas {
    fn add(&mut self, known: &Known, numbers: &Numbers, measures: &Measures, adjustment: bool) {
        let event = &known.event;
        let shape = numbers.shape(known.shape().digest()).unwrap();
        let symbol = |dimension| event.dimensions.get(dimension).map(|value| numbers.symbol(dimension, value).unwrap());
        for (grain, length) in [(GRAIN_QUARTER, 900), (GRAIN_DAY, 86_400)] {
            let second = event.start_time.as_second();
            let bucket = Timestamp::from_second(second - second.rem_euclid(length)).unwrap();
            let key = RollupKey { grain, bucket, user: 0, shape, adjustment };
            self.usage.entry(key).or_default().add(measures).unwrap();
            if let Some(user) = symbol(Dimension::UserId) {
                self.users.entry(RollupKey { user, ..key }).or_default().add(measures).unwrap();
            }
        }
        let Some(session) = symbol(Dimension::SessionId) else { return };
        let key = SessionKey { session, descendants: false, shape, adjustment };
        self.sessions.entry(key).or_default().add(measures).unwrap();
        let root = numbers.symbol(Dimension::SessionId, event.dimensions.root_session().unwrap()).unwrap();
        if root != session {
            let key = SessionKey { session: root, descendants: true, ..key };
            self.sessions.entry(key).or_default().add(measures).unwrap();
        }
    }

    async fn write(&self, connection: &mut PgConnection, tenant: TenantId, events: &[EventRow]) {
        ledger::record(connection, tenant, events, self.sessions.iter(), self.users.iter()).await.unwrap();
        let conclusion = Conclusion { rollups: self.usage.iter().collect(), ..Conclusion::default() };
        ledger::conclude(connection, tenant, &conclusion).await.unwrap();
    }
}

/// Records them in one transaction.
pub(crate) async fn record(pool: &PgPool, dictionary: &Dictionary, tenant: TenantId, events: &[Known]) {
    let mut transaction = pool.begin().await.unwrap();
    let numbers = resolved(&mut transaction, dictionary, tenant, events.iter()).await;
    let rows: Vec<EventRow> = events.iter().map(|known| row(known, &numbers)).collect();
    let mut deltas = Deltas::default();
    for known in events {
        deltas.add(known, &numbers, &known.measures(), false);
    }
    deltas.write(&mut transaction, tenant, &rows).await;
    transaction.commit().await.unwrap();
}

/// Corrects them in one transaction: each from what it was to what it should be; `None` = cancelled.
pub(crate) async fn correct(
    pool: &PgPool,
    dictionary: &Dictionary,
    tenant: TenantId,
    corrections: &[(Known, Option<Known>)],
) {
    let mut transaction = pool.begin().await.unwrap();
    let named = corrections.iter().flat_map(|(old, new)| std::iter::once(old).chain(new));
    let numbers = resolved(&mut transaction, dictionary, tenant, named).await;
    let mut deltas = Deltas::default();
    let mut legs = Vec::new();
    let leg = |known: &Known, sign| Leg {
        row: row(known, &numbers),
        revision: 2,
        sign,
        kind: AdjustmentKind::Replaced,
        request_id: Uuid::nil(),
        reason: "random".to_owned(),
    };
    for (old, new) in corrections {
        deltas.add(old, &numbers, &old.measures().negated().unwrap(), true);
        legs.push(leg(old, Sign::Reversed));
        if let Some(new) = new {
            deltas.add(new, &numbers, &new.measures(), true);
            legs.push(leg(new, Sign::Added));
        }
    }
    adjustments::insert(&mut transaction, tenant, &legs, Timestamp::UNIX_EPOCH).await.unwrap();
    deltas.write(&mut transaction, tenant, &[]).await;
    transaction.commit().await.unwrap();
}
