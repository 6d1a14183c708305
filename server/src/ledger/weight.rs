//! About how many bytes a command takes while it waits: what its texts and lists hold, so that the bound of the queue holds whatever
//! is sent. What commands share, such as price sheets of the catalog, belongs to none of them.

use std::mem::size_of;

use tollgate_domain::budget::Demand;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::event::{EventKey, UsageEvent};
use tollgate_domain::extract::ModelUsage;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Cost, CostLine, Estimate, LineKind, PriceSheet, Rate, UnitCount};
use tollgate_domain::tokens::{TokenPart, TokenUsage};

use super::adjust::Adjust;
use super::command::{Extension, Record, Reserve};
use super::correction::{Change, Correction};
use super::holds::CheckPlan;

/// What every command takes, with its place in the queue.
pub(super) const BASE: usize = 1_024;

/// Of an event to record.
pub(super) fn of_record(record: &Record) -> usize {
    let Record { event, fingerprint: _, sheet, charge, wants_budgets: _, pins: _ } = record;
    BASE + of_event(event) + sheet.as_deref().map_or(0, of_own_sheets) + of_cost(&charge.cost)
}

/// Of a check that holds.
pub(super) fn of_reserve(reserve: &Reserve) -> usize {
    BASE + of_plan(&reserve.plan)
}

/// Of an extension.
pub(super) fn of_extension(extension: &Extension) -> usize {
    let Extension { id: _, ttl: _, sequence: _, running, running_sheet, raise, pins: _ } = extension;
    BASE + running.as_ref().map_or(0, of_usage)
        + running_sheet.as_deref().map_or(0, of_own_sheets)
        + raise.as_ref().map_or(0, of_plan)
}

/// Of corrections.
pub(super) fn of_adjust(adjust: &Adjust) -> usize {
    let Adjust { key, digest: _, reason, corrections, validate_only: _, told, pins: _ } = adjust;
    let corrections: usize = corrections.iter().map(of_correction).sum();
    BASE + key.step.len() + reason.len() + corrections + told.as_ref().map_or(0, of_json)
}

fn of_correction(correction: &Correction) -> usize {
    BASE + match &correction.change {
        Change::Cancel => 0,
        Change::Replace(record) => of_record(record),
        Change::Reattribute(dimensions) => of_dimensions(dimensions),
        Change::Reprice { sheet, charge } => sheet.as_deref().map_or(0, of_own_sheets) + of_cost(&charge.cost),
    }
}

fn of_plan(plan: &CheckPlan) -> usize {
    let CheckPlan { dimensions, demands, estimate, headroom: _, prices: _, priced_at: _ } = plan;
    let demands: usize = demands.iter().map(of_demand).sum();
    of_dimensions(dimensions) + demands + of_estimate(estimate)
}

fn of_demand(demand: &Demand) -> usize {
    let Demand { model, sheet: _, estimate, worst } = demand;
    size_of::<Demand>() + of_model(model) + of_estimate(estimate) + of_cost(&worst.cost)
}

fn of_estimate(estimate: &Estimate) -> usize {
    of_units(&estimate.units)
}

fn of_event(event: &UsageEvent) -> usize {
    // Each field is named: one that is added has to be thought of here.
    let UsageEvent {
        key,
        call_id,
        attempt: _,
        start_time: _,
        end_time: _,
        time_to_first_token_micros: _,
        dimensions,
        operation_name,
        request_model,
        response_model,
        response_id,
        batch_id,
        usage,
        units,
        additional,
        usage_api,
        told: _,
        response_cache_hit: _,
        outcome: _,
        error_type,
        reservation: _,
        reported_cost: _,
        reported_currency,
        accounting: _,
        origin: _,
        trace_id,
        span_id,
        metadata_json,
    } = event;
    let key = match key {
        EventKey::Id(_) => 0,
        EventKey::External { source, key } => source.len() + key.len(),
    };
    let texts = [
        call_id,
        operation_name,
        response_id,
        batch_id,
        usage_api,
        error_type,
        reported_currency,
        trace_id,
        span_id,
        metadata_json,
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let additional: usize = additional.iter().map(of_model_usage).sum();
    key + texts
        + of_dimensions(dimensions)
        + of_model(request_model)
        + response_model.as_ref().map_or(0, of_model)
        + usage.as_ref().map_or(0, of_usage)
        + of_units(units)
        + additional
}

fn of_dimensions(dimensions: &Dimensions) -> usize {
    let Dimensions { values, labels } = dimensions;
    let values: usize = values.values().map(|value| size_of::<String>() + value.len()).sum();
    let labels: usize = labels.iter().map(|(key, value)| 2 * size_of::<String>() + key.len() + value.len()).sum();
    values + labels
}

fn of_model(model: &ModelRef) -> usize {
    let ModelRef { provider_name, model, provider_tier, region } = model;
    provider_name.len() + model.len() + provider_tier.len() + region.len()
}

fn of_model_usage(usage: &ModelUsage) -> usize {
    let ModelUsage { model, usage, units } = usage;
    size_of::<ModelUsage>() + model.len() + of_usage(usage) + of_units(units)
}

fn of_usage(usage: &TokenUsage) -> usize {
    size_of::<TokenPart>() * usage.parts.len()
}

fn of_units(units: &[UnitCount]) -> usize {
    units.iter().map(|unit| size_of::<UnitCount>() + unit.unit.len()).sum()
}

fn of_cost(cost: &Cost) -> usize {
    let lines: usize = cost.lines.iter().map(of_line).sum();
    lines + cost.catalog_version.len()
}

fn of_line(line: &CostLine) -> usize {
    let unit = match &line.line {
        LineKind::Unit(unit) => unit.len(),
        LineKind::InputText | LineKind::OutputText | LineKind::Class { .. } => 0,
    };
    size_of::<CostLine>() + unit + line.price_id.len() + line.model.len()
}

/// Sheets are shared; where an answer bills several models, one is made that holds those of the others.
fn of_own_sheets(sheet: &PriceSheet) -> usize {
    sheet.others.iter().map(|(name, other)| name.len() + size_of::<PriceSheet>() + of_rates(&other.rates)).sum()
}

fn of_rates(rates: &[Rate]) -> usize {
    rates.iter().map(|rate| size_of::<Rate>() + rate.price_id.len()).sum()
}

fn of_json(value: &serde_json::Value) -> usize {
    let held = match value {
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => 0,
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(entries) => entries.iter().map(of_json).sum(),
        serde_json::Value::Object(fields) => {
            fields.iter().map(|(name, value)| size_of::<String>() + name.len() + of_json(value)).sum()
        }
    };
    size_of::<serde_json::Value>() + held
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::Timestamp;
    use tollgate_domain::amount::Amount;
    use tollgate_domain::dimensions::Dimension;
    use tollgate_domain::event::{Accounting, CallOutcome, Origin};
    use tollgate_domain::measures::Charge;
    use tollgate_domain::price::{Catalog, FreeProviders, PriceBook};
    use uuid::Uuid;

    use super::*;
    use crate::ledger::Claim;
    use crate::ledger::Pins;
    use crate::ledger::command::{Command, Reply};
    use crate::store::adjustments::RequestKey;

    /// Stands in texts and nowhere else.
    const MARK: char = '~';

    fn text(bytes: usize) -> String {
        MARK.to_string().repeat(bytes)
    }

    fn model() -> ModelRef {
        ModelRef { provider_name: text(256), model: text(256), provider_tier: text(256), region: text(256) }
    }

    fn units() -> Vec<UnitCount> {
        (0..32).map(|_| UnitCount { unit: text(256), quantity: Amount::ZERO }).collect()
    }

    fn dimensions() -> Dimensions {
        Dimensions {
            values: Dimension::ALL.iter().map(|dimension| (*dimension, text(256))).collect(),
            labels: (0..16).map(|number| (format!("{number}{}", text(62)), text(256))).collect(),
        }
    }

    fn record() -> Record {
        let event = UsageEvent {
            key: EventKey::External { source: text(256), key: text(256) },
            call_id: Some(text(256)),
            attempt: 1,
            start_time: Timestamp::UNIX_EPOCH,
            end_time: None,
            time_to_first_token_micros: None,
            dimensions: dimensions(),
            operation_name: Some(text(256)),
            request_model: model(),
            response_model: Some(model()),
            response_id: Some(text(256)),
            batch_id: Some(text(256)),
            usage: Some(TokenUsage::reported(1, 1)),
            units: units(),
            additional: vec![ModelUsage { model: text(256), usage: TokenUsage::reported(1, 1), units: units() }],
            usage_api: Some(text(256)),
            told: None,
            response_cache_hit: false,
            outcome: CallOutcome::Ok,
            error_type: Some(text(256)),
            reservation: None,
            reported_cost: None,
            reported_currency: Some(text(3)),
            accounting: Accounting::Enforced,
            origin: Origin::Live,
            trace_id: Some(text(32)),
            span_id: Some(text(16)),
            metadata_json: Some(text(4_096)),
        };
        let charge = Charge::of(&event, Cost { catalog_version: text(64), ..Cost::unpriced() });
        Record { event, fingerprint: Uuid::nil(), sheet: None, charge, wants_budgets: false, pins: Pins::default() }
    }

    fn plan() -> CheckPlan {
        let estimate = Estimate { units: units(), ..Estimate::default() };
        let demand = || Demand::new(model(), None, estimate.clone()).unwrap();
        CheckPlan {
            dimensions: dimensions(),
            demands: (0..9).map(|_| demand()).collect(),
            estimate: estimate.clone(),
            headroom: false,
            prices: Arc::new(PriceBook::of_catalog(Catalog::builtin().unwrap(), FreeProviders::default())),
            priced_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn commands() -> [Command; 6] {
        let id = Uuid::nil();
        let reserve = Reserve { id, fingerprint: id, plan: plan(), ttl: Duration::ZERO, claim: Claim::default() };
        let extension = Extension {
            id,
            ttl: None,
            sequence: 1,
            running: None,
            running_sheet: None,
            raise: Some(plan()),
            pins: Pins::default(),
        };
        let correction = |change| Correction { event_id: id, expected_revision: 1, change };
        let adjust = Adjust {
            key: RequestKey { request_id: id, step: text(256) },
            digest: id,
            reason: text(1_024),
            corrections: vec![
                correction(Change::Replace(Box::new(record()))),
                correction(Change::Reattribute(Box::new(dimensions()))),
                correction(Change::Cancel),
            ],
            validate_only: false,
            told: Some(serde_json::json!({ "name": [text(300), { (text(40)): 1 }] })),
            pins: Pins::default(),
        };
        [
            Command::Record(Box::new(record()), Reply::new().0),
            Command::Reserve(Box::new(reserve), Reply::new().0),
            Command::Extend(Box::new(extension), Reply::new().0),
            Command::Release { id, reason: text(1_024), pins: Pins::default(), reply: Reply::new().0 },
            Command::Adjust(Box::new(adjust), Reply::new().0),
            Command::Expire { id, reply: Reply::new().0 },
        ]
    }

    #[tokio::test]
    async fn no_command_weighs_less_than_its_texts() {
        for command in commands() {
            let shown = format!("{command:?}");
            let texts = shown.chars().filter(|character| *character == MARK).count();
            let kind = shown.split(['(', ' ']).next();
            assert!(command.weight() >= texts + BASE, "{kind:?}: {} for {texts}", command.weight());
        }
    }
}
