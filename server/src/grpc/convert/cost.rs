//! Costs.

use tollgate_domain::amount::Usd;
use tollgate_domain::measures::Charge;
use tollgate_domain::price::{Cost, CostLine, PriceState};
use tollgate_proto::v1;

/// What was charged, for the wire.
pub fn to_charge(charge: &Charge) -> v1::Cost {
    let Charge { cost, usd, saved_usd } = charge;
    v1::Cost {
        usd: usd.to_string(),
        saved_usd: saved_usd.as_ref().map(Usd::to_string).unwrap_or_default(),
        ..to_cost(cost)
    }
}

/// For the wire.
pub fn to_cost(cost: &Cost) -> v1::Cost {
    let Cost { state, usd, lines, catalog_version } = cost;
    v1::Cost {
        state: match state {
            PriceState::Priced => v1::PriceState::Priced,
            PriceState::Free => v1::PriceState::Free,
            PriceState::Partial => v1::PriceState::Partial,
            PriceState::Unpriced => v1::PriceState::Unpriced,
        }
        .into(),
        usd: usd.to_string(),
        lines: lines.iter().map(to_line).collect(),
        catalog_version: catalog_version.clone(),
        saved_usd: String::new(),
    }
}

fn to_line(line: &CostLine) -> v1::CostLine {
    let CostLine { line, quantity, price, usd, price_id, model } = line;
    v1::CostLine {
        line: line.name(),
        quantity: quantity.to_string(),
        unit_price_usd: price.per_unit().to_string(),
        usd: usd.to_string(),
        price_id: price_id.clone(),
        model: model.clone(),
    }
}
