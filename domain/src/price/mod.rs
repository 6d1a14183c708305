//! What calls cost: the catalog of prices, the pricing of usage, and the worst case of an estimate.
//!
//! A [`PriceBook`] lays what a tenant has set over the [`Catalog`] and finds the [`PriceSheet`] in force for a model at an instant, [`price`] applies it to what was used, and
//! [`worst_case`] to what may be used. All of it is exact: see [`UnitPrice::of`] for the only rounding.

mod bill;
mod book;
mod catalog;
mod catalog_file;
mod compile;
mod cost;
pub mod estimate;
mod free;
mod line;
mod listing;
mod model_prices;
mod pricing;
mod reported;
mod rule;
mod schedule;
mod sheet;
mod tenant;
mod unit_price;

pub use bill::{Used, sheet_with_others};
pub use book::{PriceBook, factors_overflow};
pub use catalog::{Catalog, DEFAULT_MAX_OUTPUT_TOKENS};
pub use catalog_file::{CATALOG_FORMAT, CatalogError, CatalogProblem};
pub use cost::{Cost, CostLine, PriceError, PriceState, UnitCount};
pub use estimate::{Estimate, Worst, affordable_output_tokens, worst_case};
pub use free::{FREE_PRICE_ID, FreeProviders};
pub use line::LineKind;
pub use listing::CatalogPrice;
pub use pricing::price;
pub use reported::ReportedCostTolerance;
pub use sheet::{PriceSheet, REQUEST_UNIT, Rate};
pub use tenant::{
    Coverage, MULTIPLIER_DECIMALS, MULTIPLIER_LIMIT, NOTE_BYTES_LIMIT, PriceTerms, RATE_PER_LIMIT, RATE_USD_LIMIT,
    RATES_LIMIT, TenantPrice, TenantRate,
};
pub use unit_price::UnitPrice;
