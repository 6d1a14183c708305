//! What calls cost: the catalog of prices, the pricing of usage, and the worst case of an estimate.
//!
//! A [`Catalog`] finds the [`PriceSheet`] in force for a model at an instant, [`price`] applies it to what was used, and
//! [`worst_case`] to what may be used. All of it is exact: see [`UnitPrice::of`] for the only rounding.

mod catalog;
mod catalog_file;
mod compile;
mod cost;
pub mod estimate;
mod line;
mod listing;
mod model_prices;
mod pricing;
mod rule;
mod schedule;
mod sheet;
mod unit_price;

pub use catalog::{Catalog, DEFAULT_MAX_OUTPUT_TOKENS};
pub use catalog_file::{CATALOG_FORMAT, CatalogError, CatalogProblem};
pub use cost::{Cost, CostLine, PriceError, PriceState, UnitCount};
pub use estimate::{Estimate, Worst, affordable_output_tokens, worst_case};
pub use line::LineKind;
pub use listing::CatalogPrice;
pub use pricing::price;
pub use sheet::{PriceSheet, REQUEST_UNIT, Rate};
pub use unit_price::UnitPrice;
