//! What calls cost: the catalog of prices, the pricing of usage, and the worst case of an estimate.
//!
//! A [`Catalog`] finds the [`PriceSheet`] in force for a model at an instant, [`price`] applies it to what was used, and
//! [`worst_case`] to what may be used. All of it is exact: see [`CostLine`] for the only rounding.

mod catalog;
mod catalog_file;
mod cost;
pub mod estimate;
mod line;
mod matching;
mod pricing;
mod sheet;

pub use catalog::{Catalog, DEFAULT_MAX_OUTPUT_TOKENS};
pub use catalog_file::CatalogError;
pub use cost::{Cost, CostLine, PriceError, PriceState, UnitCount};
pub use estimate::{Estimate, Worst, affordable_output_tokens, worst_case};
pub use line::LineKind;
pub use pricing::price;
pub use sheet::{PriceSheet, Rate};
