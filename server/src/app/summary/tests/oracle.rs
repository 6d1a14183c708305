//! What a summary must say, worked out from the events alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_domain::calendar::{Granularity, buckets};
use tollgate_domain::dimensions::{Dimension, DimensionKey};
use tollgate_domain::measures::Measures;
use tollgate_domain::summary::{GroupValue, Latency, SummaryRequest, SummaryRow, TimeBasis};

use super::ledger::Known;

/// The value that a summary groups and filters an event by.
pub(crate) fn value(known: &Known, key: &DimensionKey) -> Option<String> {
    let dimensions = &known.event.dimensions;
    match key {
        DimensionKey::Dimension(Dimension::RootSessionId) => dimensions.root_session().map(str::to_owned),
        DimensionKey::Dimension(dimension) if dimension.is_in_shape() => known.shape().values.get(dimension).cloned(),
        DimensionKey::Dimension(_) | DimensionKey::Label(_) => dimensions.get_key(key).map(str::to_owned),
    }
}

#[derive(Default)]
struct Sum {
    measures: Measures,
    durations: Vec<i64>,
}

impl Sum {
    fn add(&mut self, known: &Known) {
        self.measures.add(&known.measures()).unwrap();
        let event = &known.event;
        self.durations.extend(event.end_time.map(|end| end.as_microsecond() - event.start_time.as_microsecond()));
    }

    fn latency(&mut self, wanted: bool) -> Option<Latency> {
        Latency::of(&mut self.durations).filter(|_| wanted)
    }
}

/// The rows by bucket and groups, and the total.
pub(crate) fn expected(events: &[Known], request: &SummaryRequest) -> (Vec<SummaryRow>, SummaryRow) {
    let zone = if request.time_zone.is_empty() { TimeZone::UTC } else { TimeZone::get(&request.time_zone).unwrap() };
    let buckets = buckets(request.range, request.granularity, &zone, 100_000).unwrap();
    let mut total = Sum::default();
    let mut sums: BTreeMap<(Timestamp, Vec<GroupValue>), Sum> = BTreeMap::new();
    for known in events {
        let at = match request.time_basis {
            TimeBasis::Start => known.event.start_time,
            TimeBasis::Charge => known.charge_time,
        };
        let Some(bucket) = buckets.iter().find(|bucket| bucket.clipped.contains(at)) else { continue };
        let model = value(known, &DimensionKey::Dimension(Dimension::Model));
        let model_counts = request.models.is_empty() || model.is_some_and(|model| request.models.contains(&model));
        let meets = |condition: &tollgate_domain::dimensions::DimensionMatch| {
            condition.accepts(value(known, &condition.key).as_deref())
        };
        if !model_counts || !request.filter.iter().all(meets) {
            continue;
        }
        let group = |key| value(known, key).map_or(GroupValue::Absent, GroupValue::Value);
        let groups = request.group_by.iter().map(group).collect();
        total.add(known);
        sums.entry((bucket.start, groups)).or_default().add(known);
    }
    let rows = sums.into_iter().map(|((start, groups), mut sum)| SummaryRow {
        bucket_start: (request.granularity != Granularity::None).then_some(start),
        partial_bucket: buckets.iter().any(|bucket| bucket.start == start && bucket.partial),
        groups,
        latency: sum.latency(request.latency),
        measures: sum.measures,
        current_usd: None,
    });
    let total_row = SummaryRow {
        bucket_start: None,
        partial_bucket: false,
        groups: Vec::new(),
        latency: total.latency(request.latency),
        measures: total.measures,
        current_usd: None,
    };
    (rows.collect(), total_row)
}
