//! Summaries: what is asked, what is answered, and the figures that are derived from sums.

use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::amount::{AmountError, Usd};
use crate::calendar::Granularity;
use crate::dimensions::{DimensionKey, DimensionMatch, LABEL_KEY_BYTES_LIMIT, VALUE_BYTES_LIMIT, check_text};
use crate::measures::{CostClass, Measures};
use crate::tokens::TokenClass;
use crate::violation::{Violation, Violations};
use crate::window::{Bounds, zone};

/// Most dimensions that one summary is grouped by.
pub const GROUP_BY_LIMIT: usize = 2;
/// Most conditions of one summary.
pub const FILTER_LIMIT: usize = 16;
/// Most models of one summary.
pub const MODELS_LIMIT: usize = 100;
/// Most groups that are shown on their own.
pub const TOP_LIMIT: u32 = 1_000;
/// Rows of a page where the caller does not say.
pub const PAGE_SIZE: u32 = 100;
/// Most rows of a page.
pub const PAGE_SIZE_LIMIT: u32 = 1_000;
/// Most time buckets, and most rows, of one summary.
pub const ROWS_LIMIT: usize = 10_000;
/// Digits after the point that a share is rounded to, half to even.
pub const SHARE_SCALE: u32 = 6;

/// By which of its two times an event is placed (contract, decision 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeBasis {
    /// When the call ran.
    #[default]
    Start,
    /// When budgets were charged.
    Charge,
}

/// Which cost of an event is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostBasis {
    /// As it was first charged.
    #[default]
    Charged,
    /// After amendments and repricings.
    Current,
    /// As the provider reported it, where it reported in US dollars.
    Reported,
}

/// What rows are ordered by within one bucket, and groups ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderMeasure {
    /// Cost, by the basis asked for.
    Usd,
    /// Calls.
    Calls,
    /// Attempts.
    Attempts,
    /// Failed attempts.
    Errors,
    /// Input tokens.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Input and output tokens together.
    TotalTokens,
}

impl OrderMeasure {
    /// Its value in `measures`.
    pub fn of(self, measures: &Measures) -> Decimal {
        match self {
            Self::Usd => measures.usd.decimal(),
            Self::Calls => measures.calls.into(),
            Self::Attempts => measures.attempts.into(),
            Self::Errors => measures.errors.into(),
            Self::InputTokens => measures.input_tokens.into(),
            Self::OutputTokens => measures.output_tokens.into(),
            Self::TotalTokens => Decimal::from(measures.input_tokens) + Decimal::from(measures.output_tokens),
        }
    }
}

/// The order of rows: by bucket first, then by a measure within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderBy {
    /// Whether the latest bucket comes first.
    pub latest_first: bool,
    /// The measure that orders the rows of one bucket.
    pub measure: OrderMeasure,
    /// Whether its greatest value comes first.
    pub greatest_first: bool,
}

impl Default for OrderBy {
    fn default() -> Self {
        Self { latest_first: false, measure: OrderMeasure::Usd, greatest_first: true }
    }
}

impl OrderBy {
    /// Reads `bucket`, `usd`, `calls`, `attempts`, `errors`, `input_tokens`, `output_tokens` or `total_tokens`, followed
    /// by ` asc` (as if nothing followed) or ` desc`. Empty means by bucket, then dearest first.
    ///
    /// `total_input_tokens` and `total_output_tokens`, the names in the totals, mean the same as the short ones.
    ///
    /// # Errors
    /// The violation of `field`.
    pub fn parse(text: &str, field: &str) -> Result<Self, Violation> {
        let mut words = text.split_ascii_whitespace();
        let Some(name) = words.next() else { return Ok(Self::default()) };
        let falling = match (words.next(), words.next()) {
            (None | Some("asc"), None) => Some(false),
            (Some("desc"), None) => Some(true),
            _ => None,
        };
        let measure = match name {
            "bucket" => None,
            "usd" => Some(OrderMeasure::Usd),
            "calls" => Some(OrderMeasure::Calls),
            "attempts" => Some(OrderMeasure::Attempts),
            "errors" => Some(OrderMeasure::Errors),
            "input_tokens" | "total_input_tokens" => Some(OrderMeasure::InputTokens),
            "output_tokens" | "total_output_tokens" => Some(OrderMeasure::OutputTokens),
            "total_tokens" => Some(OrderMeasure::TotalTokens),
            _ => return Err(Self::violation(field)),
        };
        let falling = falling.ok_or_else(|| Self::violation(field))?;
        Ok(match measure {
            None => Self { latest_first: falling, ..Self::default() },
            Some(measure) => Self { latest_first: false, measure, greatest_first: falling },
        })
    }

    fn violation(field: &str) -> Violation {
        Violation::new(
            field,
            "must be bucket, usd, calls, attempts, errors, input_tokens, output_tokens or total_tokens, followed by \
             nothing, ` asc` or ` desc`",
        )
    }
}

/// What a summary is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRequest {
    /// The time that is summed up.
    pub range: Bounds,
    /// IANA name of the time zone of the buckets; empty = UTC.
    pub time_zone: String,
    /// By which time events are placed.
    pub time_basis: TimeBasis,
    /// Which cost is summed.
    pub cost_basis: CostBasis,
    /// Length of the buckets.
    pub granularity: Granularity,
    /// Dimensions that rows are grouped by, at most [`GROUP_BY_LIMIT`].
    pub group_by: Vec<DimensionKey>,
    /// Conditions that all must hold, at most [`FILTER_LIMIT`].
    pub filter: Vec<DimensionMatch>,
    /// Models that count; empty = all. At most [`MODELS_LIMIT`].
    pub models: Vec<String>,
    /// Whether latency percentiles are wanted: they are read from the events themselves.
    pub latency: bool,
    /// Whether the cost after corrections is wanted beside the one that `cost_basis` names.
    pub current: bool,
    /// Order of the rows, and of the groups of `top`.
    pub order_by: OrderBy,
    /// Most groups shown on their own, 1 to [`TOP_LIMIT`]; the rest is folded. `None` = all.
    pub top: Option<u32>,
    /// Rows of a page, at most [`PAGE_SIZE_LIMIT`]; 0 = [`PAGE_SIZE`].
    pub page_size: u32,
}

impl SummaryRequest {
    /// Everything in `range`, in one bucket and one group.
    pub fn of(range: Bounds) -> Self {
        Self {
            range,
            time_zone: String::new(),
            time_basis: TimeBasis::Start,
            cost_basis: CostBasis::Charged,
            granularity: Granularity::None,
            group_by: Vec::new(),
            filter: Vec::new(),
            models: Vec::new(),
            latency: false,
            current: false,
            order_by: OrderBy::default(),
            top: None,
            page_size: 0,
        }
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// Every violation, with the field paths of the wire's request.
    pub fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut violations = Violations::new();
        let years = "must lie in the years 1 to 9999";
        violations.add_if(!Bounds::LIFETIME.contains(self.range.start), "start_time", years);
        violations.add_if(self.range.end > Bounds::LIFETIME.end, "end_time", years);
        violations.add_if(self.range.is_empty(), "end_time", "must be after start_time");
        if let Err(error) = self.zone_name_known() {
            violations.add("time_zone", error);
        }
        violations.add_if(
            self.group_by.len() > GROUP_BY_LIMIT,
            "group_by",
            format!("must have at most {GROUP_BY_LIMIT} entries"),
        );
        for (position, key) in self.group_by.iter().enumerate().take(GROUP_BY_LIMIT) {
            check_key(&mut violations, key, &format!("group_by[{position}]"));
        }
        let repeated = matches!(self.group_by.as_slice(), [first, second] if first == second);
        violations.add_if(repeated, "group_by[1]", "repeats a dimension: name each once");
        violations.add_if(
            self.filter.len() > FILTER_LIMIT,
            "filter",
            format!("must have at most {FILTER_LIMIT} entries"),
        );
        for (position, condition) in self.filter.iter().enumerate().take(FILTER_LIMIT) {
            let path = format!("filter[{position}]");
            check_key(&mut violations, &condition.key, &format!("{path}.key"));
            condition.check(&mut violations, &path);
        }
        violations.add_if(
            self.models.len() > MODELS_LIMIT,
            "models",
            format!("must have at most {MODELS_LIMIT} entries"),
        );
        for (position, model) in self.models.iter().enumerate().take(MODELS_LIMIT) {
            let field = format!("models[{position}]");
            violations.add_if(model.is_empty(), field.clone(), "must not be empty");
            check_text(&mut violations, field, model, VALUE_BYTES_LIMIT);
        }
        violations.add_if(
            self.top.is_some_and(|top| top == 0 || top > TOP_LIMIT),
            "top",
            format!("must be at most {TOP_LIMIT}"),
        );
        violations.add_if(self.page_size > PAGE_SIZE_LIMIT, "page_size", format!("must be at most {PAGE_SIZE_LIMIT}"));
        violations.into_result(())
    }

    fn zone_name_known(&self) -> Result<(), String> {
        if self.time_zone.is_empty() {
            return Ok(());
        }
        zone(&self.time_zone).map(drop).map_err(|error| error.to_string())
    }

    /// Rows of one page.
    pub fn rows_per_page(&self) -> u32 {
        if self.page_size == 0 { PAGE_SIZE } else { self.page_size.min(PAGE_SIZE_LIMIT) }
    }
}

fn check_key(violations: &mut Violations, key: &DimensionKey, path: &str) {
    if let DimensionKey::Label(label) = key {
        let field = format!("{path}.label");
        violations.add_if(label.is_empty(), field.clone(), "must not be empty");
        check_text(violations, field, label, LABEL_KEY_BYTES_LIMIT);
    }
}

/// The value of a dimension that events are grouped by. Absent is not other (contract, decision 16).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupValue {
    /// The events with this value.
    Value(String),
    /// The events that lack the dimension.
    Absent,
    /// The events of all values that are not shown on their own.
    Other,
}

/// Exact percentiles of how long attempts took, in microseconds, over those whose end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the attempts took at most this.
    pub p50: i64,
    /// 95 of 100.
    pub p95: i64,
    /// 99 of 100.
    pub p99: i64,
}

impl Latency {
    /// The percentiles of `durations`, which it sorts; `None` where there is none.
    pub fn of(durations: &mut [i64]) -> Option<Self> {
        durations.sort_unstable();
        // The smallest value that at least that share of all values does not exceed: SQL's percentile_disc.
        let percentile = |percent: usize| {
            let place = (durations.len() * percent).div_ceil(100).max(1);
            durations.get(place - 1).copied()
        };
        Some(Self { p50: percentile(50)?, p95: percentile(95)?, p99: percentile(99)? })
    }
}

/// One group in one bucket, or everything together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// Where the calendar begins the bucket; `None` where time is not divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_start: Option<Timestamp>,
    /// Whether the range, or the present, cuts the bucket.
    #[serde(default)]
    pub partial_bucket: bool,
    /// The values of `group_by`, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupValue>,
    /// The sums, `usd` by the cost basis asked for.
    #[serde(with = "MeasuresFields")]
    pub measures: Measures,
    /// The cost after corrections; `None` = it was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_usd: Option<Usd>,
    /// Percentiles, where they were asked for and an end is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
}

/// A whole summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// One row per bucket and group that has events, ordered as asked.
    pub rows: Vec<SummaryRow>,
    /// Everything that the conditions select.
    pub total: SummaryRow,
    /// The moment as of which it is true, by the database's clock.
    pub as_of: Timestamp,
}

/// How [`Measures`] are written down for the later pages of a summary.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Measures")]
struct MeasuresFields {
    calls: i64,
    attempts: i64,
    errors: i64,
    unpriced: i64,
    estimated: i64,
    response_cache_hits: i64,
    input_tokens: i64,
    output_tokens: i64,
    class_tokens: [Option<i64>; TokenClass::ALL.len()],
    usd: Usd,
    memo_usd: Usd,
    saved_usd: Option<Usd>,
    reported_usd: Option<Usd>,
    reported_own_usd: Option<Usd>,
    class_usd: [Option<Usd>; CostClass::COUNT],
    first_time: Option<Timestamp>,
    last_time: Option<Timestamp>,
}

/// The share of calls that the caller's response cache answered, from 0 to 1; `None` without calls.
pub fn response_cache_hit_share(measures: &Measures) -> Option<String> {
    share(measures.response_cache_hits, measures.calls)
}

/// The share of input tokens that were read from a provider's prompt cache, from 0 to 1; `None` without input tokens or
/// where no cache read was ever reported (invariant 8: absent is not zero).
pub fn prompt_cache_read_share(measures: &Measures) -> Option<String> {
    let reads =
        [TokenClass::CacheRead, TokenClass::CacheReadAudio, TokenClass::CacheReadImage, TokenClass::CacheReadVideo];
    let mut reported =
        reads.iter().filter_map(|class| measures.class_tokens.get(class.index()).copied().flatten()).peekable();
    reported.peek()?;
    share(reported.try_fold(0_i64, i64::checked_add)?, measures.input_tokens)
}

/// What providers reported less what was charged, over the events that reported in US dollars; `None` without such.
///
/// # Errors
/// [`AmountError::TooLarge`].
pub fn reported_delta(measures: &Measures) -> Result<Option<Usd>, AmountError> {
    let (Some(reported), Some(own)) = (measures.reported_usd, measures.reported_own_usd) else { return Ok(None) };
    reported.minus(own).map(Some)
}

fn share(part: i64, whole: i64) -> Option<String> {
    let share = Decimal::from(part).checked_div(Decimal::from(whole))?;
    let rounded = share.round_dp_with_strategy(SHARE_SCALE, RoundingStrategy::MidpointNearestEven);
    Some(rounded.normalize().to_string())
}

#[cfg(test)]
mod tests;
