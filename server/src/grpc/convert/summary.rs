//! Summaries.

use jiff::SignedDuration;
use tollgate_domain::calendar::Granularity;
use tollgate_domain::measures::{CostClass, Measures};
use tollgate_domain::summary::{
    CostBasis, Latency, OrderBy, SummaryRequest, SummaryRow, TimeBasis, prompt_cache_read_share, reported_delta,
    response_cache_hit_share,
};
use tollgate_domain::violation::Violations;
use tollgate_domain::window::Bounds;
use tollgate_proto::v1;

use super::dimensions::{key, matches};
use super::totals::{to_group, to_totals};
use super::values::{known, page_size, required_timestamp, to_duration, to_timestamp};
use crate::app::AppError;
use crate::app::summary::SummaryPage;

const MEASURES: [&str; 10] = [
    "totals",
    "cost_by_class",
    "saved_usd",
    "reported_delta_usd",
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "response_cache_hit_share",
    "prompt_cache_read_share",
    "current_usd",
];

/// Which measures were asked for. Latency is read from single events, so it is left out unless it is named.
#[derive(Debug, Clone)]
pub struct Mask {
    paths: Option<Vec<String>>,
}

impl Mask {
    fn has(&self, name: &str) -> bool {
        let default = !name.starts_with("latency");
        self.paths.as_ref().map_or(default, |paths| paths.iter().any(|path| path == name))
    }

    fn wants_latency(&self) -> bool {
        ["latency_p50", "latency_p95", "latency_p99"].iter().any(|name| self.has(name))
    }
}

/// A validated request, its mask and its page token.
///
/// # Errors
/// [`AppError::Invalid`] with every violation.
pub fn request(message: v1::GetSummaryRequest) -> Result<(SummaryRequest, Mask, String), AppError> {
    let v1::GetSummaryRequest {
        start_time,
        end_time,
        time_zone,
        time_basis,
        cost_basis,
        granularity,
        group_by,
        filter,
        models,
        measures,
        order_by,
        top,
        page_size: size,
        page_token,
    } = message;
    let mut found = Violations::new();
    let start = required_timestamp(&mut found, "start_time", start_time);
    let end = required_timestamp(&mut found, "end_time", end_time);
    let time_basis = known::<v1::TimeBasis>(&mut found, "time_basis", time_basis, true);
    let cost_basis = known::<v1::CostBasis>(&mut found, "cost_basis", cost_basis, true);
    let granularity = known::<v1::Granularity>(&mut found, "granularity", granularity, true);
    let group_by = group_by
        .into_iter()
        .enumerate()
        .filter_map(|(position, message)| key(&mut found, &format!("group_by[{position}]"), Some(message)))
        .collect();
    let filter = matches(&mut found, "filter", filter);
    let mask = Mask { paths: measures.map(|mask| mask.paths).filter(|paths| !paths.is_empty()) };
    for path in mask.paths.iter().flatten() {
        let known = MEASURES.contains(&path.as_str());
        found.add_if(!known, "measures", format!("`{path}` is no measure: use {}", MEASURES.join(", ")));
    }
    let order_by = OrderBy::parse(&order_by, "order_by").unwrap_or_else(|violation| {
        found.extend([violation]);
        OrderBy::default()
    });
    let top = u32::try_from(top).unwrap_or_else(|_| {
        found.add("top", "must not be negative");
        0
    });
    let page_size =
        page_size(&mut found, size, tollgate_domain::summary::PAGE_SIZE, tollgate_domain::summary::PAGE_SIZE_LIMIT);
    let (Some(start), Some(end)) = (start, end) else {
        return Err(found.into_result(()).err().unwrap_or_default().into());
    };
    let request = SummaryRequest {
        range: Bounds { start, end },
        time_zone,
        time_basis: match time_basis {
            Some(v1::TimeBasis::Charge) => TimeBasis::Charge,
            _ => TimeBasis::Start,
        },
        cost_basis: match cost_basis {
            Some(v1::CostBasis::Current) => CostBasis::Current,
            Some(v1::CostBasis::Reported) => CostBasis::Reported,
            _ => CostBasis::Charged,
        },
        granularity: match granularity {
            Some(v1::Granularity::Minute) => Granularity::Minute,
            Some(v1::Granularity::Hour) => Granularity::Hour,
            Some(v1::Granularity::Day) => Granularity::Day,
            Some(v1::Granularity::Week) => Granularity::Week,
            Some(v1::Granularity::Month) => Granularity::Month,
            Some(v1::Granularity::None | v1::Granularity::Unspecified) | None => Granularity::None,
        },
        group_by,
        filter,
        models,
        latency: mask.wants_latency(),
        current: mask.has("current_usd"),
        order_by,
        top: (top > 0).then_some(top),
        page_size,
    };
    if let Err(violations) = request.validate() {
        found.extend(violations);
    }
    found.into_result((request, mask, page_token)).map_err(AppError::from)
}

/// A page for the wire.
///
/// # Errors
/// [`AppError::Internal`] where a difference cannot be held.
pub fn to_response(page: SummaryPage, mask: &Mask) -> Result<v1::GetSummaryResponse, AppError> {
    let SummaryPage { rows, total, as_of, next_page_token } = page;
    let rows = rows
        .iter()
        .map(|row| {
            let SummaryRow { bucket_start, partial_bucket, groups, measures: _, current_usd: _, latency: _ } = row;
            Ok(v1::get_summary_response::Row {
                bucket_start: bucket_start.map(to_timestamp),
                partial_bucket: *partial_bucket,
                groups: groups.iter().map(to_group).collect(),
                measures: Some(to_measures(row, mask)?),
            })
        })
        .collect::<Result<_, AppError>>()?;
    Ok(v1::GetSummaryResponse {
        rows,
        total: Some(to_measures(&total, mask)?),
        next_page_token,
        as_of: Some(to_timestamp(as_of)),
    })
}

fn to_measures(row: &SummaryRow, mask: &Mask) -> Result<v1::Measures, AppError> {
    let measures = &row.measures;
    let latency = |name: &str, read: fn(&Latency) -> i64| {
        let micros = row.latency.as_ref().filter(|_| mask.has(name)).map(read);
        micros.map(|micros| to_duration(SignedDuration::from_micros(micros)))
    };
    let delta = reported_delta(measures).map_err(|_| AppError::Internal)?;
    Ok(v1::Measures {
        totals: mask.has("totals").then(|| to_totals(measures)),
        cost_by_class: if mask.has("cost_by_class") { cost_by_class(measures) } else { Vec::new() },
        saved_usd: measures.saved_usd.filter(|_| mask.has("saved_usd")).map(|usd| usd.to_string()).unwrap_or_default(),
        reported_delta_usd: delta
            .filter(|_| mask.has("reported_delta_usd"))
            .map(|usd| usd.to_string())
            .unwrap_or_default(),
        latency_p50: latency("latency_p50", |latency| latency.p50),
        latency_p95: latency("latency_p95", |latency| latency.p95),
        latency_p99: latency("latency_p99", |latency| latency.p99),
        response_cache_hit_share: response_cache_hit_share(measures).filter(|_| mask.has("response_cache_hit_share")),
        prompt_cache_read_share: prompt_cache_read_share(measures).filter(|_| mask.has("prompt_cache_read_share")),
        current_usd: row.current_usd.map(|usd| usd.to_string()).unwrap_or_default(),
    })
}

/// Sums of cost lines: quantities where the class counts tokens, no single price.
fn cost_by_class(measures: &Measures) -> Vec<v1::CostLine> {
    CostClass::all()
        .zip(measures.class_usd)
        .filter_map(|(class, usd)| {
            let quantity = match class {
                CostClass::Class(class) => measures.class_tokens.get(class.index()).copied().flatten(),
                CostClass::TextIn | CostClass::TextOut | CostClass::Units => None,
            };
            Some(v1::CostLine {
                line: class.name().to_owned(),
                quantity: quantity.map(|tokens| tokens.to_string()).unwrap_or_default(),
                unit_price_usd: String::new(),
                usd: usd?.to_string(),
                price_id: String::new(),
                model: String::new(),
            })
        })
        .collect()
}
