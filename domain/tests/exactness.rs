//! Over the prices of the whole catalog: the sum of the classes is the cost, and totals are the sum of the events, whatever
//! the split and the order (invariant 6).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::sync::OnceLock;

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use tollgate_domain::amount::Usd;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::event::{Accounting, CallOutcome, EventKey, Origin, UsageEvent};
use tollgate_domain::measures::{Charge, CostClass, Measures};
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Catalog, Cost, PriceState, UnitCount, price};
use tollgate_domain::tokens::{Side, TokenClass, TokenPart, TokenUsage};
use uuid::Uuid;

/// A call of some model of the catalog.
#[derive(Debug, Clone)]
struct Call {
    model: ModelRef,
    at: Timestamp,
    usage: TokenUsage,
    units: Vec<UnitCount>,
}

impl Call {
    fn cost(&self) -> Cost {
        let sheet = Catalog::builtin().unwrap().find(&self.model, self.at);
        price(Some(&self.usage), &self.units, sheet.as_deref()).unwrap()
    }

    fn measures(&self) -> Measures {
        let event = UsageEvent {
            key: EventKey::Id(Uuid::nil()),
            call_id: None,
            attempt: 1,
            start_time: self.at,
            end_time: None,
            time_to_first_token_micros: None,
            dimensions: Dimensions::default(),
            operation_name: None,
            request_model: self.model.clone(),
            response_model: None,
            response_id: None,
            batch_id: None,
            usage: Some(self.usage.clone()),
            units: self.units.clone(),
            additional: Vec::new(),
            usage_api: None,
            told: None,
            response_cache_hit: false,
            outcome: CallOutcome::Ok,
            error_type: None,
            reservation: None,
            reported_cost: None,
            reported_currency: None,
            accounting: Accounting::Enforced,
            origin: Origin::Live,
            trace_id: None,
            span_id: None,
            metadata_json: None,
        };
        let charge = Charge::of(&event, self.cost());
        Measures::of(&event, &charge).unwrap()
    }
}

/// Every id of the catalog with its provider, sorted: a failing case can be run again.
fn ids() -> &'static [(String, String)] {
    static IDS: OnceLock<Vec<(String, String)>> = OnceLock::new();
    IDS.get_or_init(|| {
        let catalog = Catalog::builtin().unwrap();
        let mut ids: Vec<_> = catalog.ids().map(|(provider, id)| (provider.to_owned(), id.to_owned())).collect();
        ids.sort_unstable();
        ids
    })
}

/// Cuts `total` at the given places, in thousandths, into disjoint parts; what is left is plain text.
fn split(total: u64, cuts: &[u64], side: Side) -> Vec<TokenPart> {
    let classes = TokenClass::ALL.into_iter().filter(|class| class.side() == side);
    let mut left = total;
    let mut parts = Vec::new();
    for (class, cut) in classes.zip(cuts) {
        let tokens = left * cut / 1_000;
        left -= tokens;
        parts.push(TokenPart { class, tokens, cache_ttl_seconds: None });
    }
    parts
}

prop_compose! {
    fn any_call()(
        place in any::<prop::sample::Index>(),
        second in 1_700_000_000_i64..1_800_000_000,
        tier in prop::sample::select(vec!["", "batch", "flex", "priority", "fast", "bogus"]),
        input in 0_u64..1_000_000,
        output in 0_u64..100_000,
        cuts in prop::collection::vec(0_u64..=1_000, 14),
        searches in prop::option::of(0_u32..50),
    ) -> Call {
        let (provider, id) = place.get(ids());
        let mut parts = split(input, &cuts[..9], Side::Input);
        parts.extend(split(output, &cuts[9..], Side::Output));
        let usage = TokenUsage { parts, ..TokenUsage::reported(input, output) };
        let units = searches.map(|count| UnitCount { unit: "web_search".into(), quantity: count.into() });
        Call {
            model: ModelRef { provider_tier: tier.into(), ..ModelRef::new(provider.as_str(), id.as_str()) },
            at: Timestamp::from_second(second).unwrap(),
            usage: usage.validated("usage").unwrap(),
            units: units.into_iter().collect(),
        }
    }
}

fn sum(calls: impl Iterator<Item = Measures>) -> Measures {
    calls.fold(Measures::default(), |mut sum, measures| {
        sum.add(&measures).unwrap();
        sum
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sum_of_the_classes_is_the_cost(call in any_call()) {
        let cost = call.cost();
        let lines: Decimal = cost.lines.iter().map(|line| line.usd.decimal()).sum();
        prop_assert_eq!(cost.usd.decimal(), lines);
        let measures = call.measures();
        let classes = CostClass::all().filter_map(|class| measures.class_usd[class.index()]);
        let classes = classes.fold(Usd::ZERO, |sum, usd| sum.plus(usd).unwrap());
        prop_assert_eq!(measures.usd, classes);
    }

    #[test]
    fn a_split_into_classes_of_one_price_changes_nothing(mut call in any_call()) {
        // Without parts everything is plain text: where each class is charged as text anyhow, the cost must be the same.
        let split = call.cost();
        let parts = std::mem::take(&mut call.usage.parts);
        let whole = call.cost();
        let same = |side| {
            let lines = split.lines.iter().filter(|line| parts.iter().any(|part| {
                part.class.side() == side && line.line.name() == part.class.name()
            }));
            let plain = match side { Side::Input => "input", Side::Output => "output" };
            let text = whole.lines.iter().find(|line| line.line.name() == plain);
            lines.into_iter().all(|line| text.is_some_and(|text| text.price == line.price))
        };
        if split.state != PriceState::Partial && whole.state != PriceState::Partial && same(Side::Input) && same(Side::Output) {
            let lines = Decimal::from(split.lines.len() + whole.lines.len());
            let slack = lines * Decimal::new(5, 13);
            prop_assert!((split.usd.decimal() - whole.usd.decimal()).abs() <= slack, "{:?} {:?}", split, whole);
        }
    }

    #[test]
    fn totals_are_the_sum_of_the_events_in_any_order(
        calls in prop::collection::vec(any_call(), 1..20), order in any::<u64>(), cut in any::<prop::sample::Index>(),
    ) {
        let forwards = sum(calls.iter().map(Call::measures));
        let mut shuffled = calls.clone();
        let mut state = order | 1;
        shuffled.sort_by_cached_key(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state
        });
        let (left, right) = shuffled.split_at(cut.index(shuffled.len()));
        let apart = sum([left, right].into_iter().map(|part| sum(part.iter().map(Call::measures))));
        prop_assert_eq!(&forwards, &apart);
        let costs: Decimal = calls.iter().map(|call| call.cost().usd.decimal()).sum();
        prop_assert_eq!(forwards.usd.decimal(), costs);
    }
}
