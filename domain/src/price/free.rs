//! Providers whose models cost nothing because they run on one's own machines.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::line::LineKind;
use super::sheet::{PriceSheet, Rate};
use super::unit_price::UnitPrice;
use rust_decimal::Decimal;

use super::catalog::DEFAULT_MAX_OUTPUT_TOKENS;

/// The price that free providers are priced by.
pub const FREE_PRICE_ID: &str = "local/free";

/// Local runtimes by the names under which callers know them.
const LOCAL_RUNTIMES: [&str; 15] = [
    "ollama",
    "lmstudio",
    "lm-studio",
    "llama.cpp",
    "llamacpp",
    "vllm",
    "localai",
    "llamafile",
    "gpt4all",
    "mlx",
    "sglang",
    "tgi",
    "xinference",
    "jan",
    "koboldcpp",
];

/// Providers whose models are free unless a price says otherwise. Names match without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeProviders(BTreeSet<String>);

impl Default for FreeProviders {
    /// The known local runtimes.
    fn default() -> Self {
        Self::new(LOCAL_RUNTIMES)
    }
}

impl FreeProviders {
    /// These and no others.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(|name| name.as_ref().trim().to_lowercase()).collect())
    }

    /// Their names, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether the provider of this name, in lower case, is one of them.
    pub(super) fn contains(&self, provider_name: &str) -> bool {
        self.0.contains(provider_name)
    }
}

/// The sheet of a model that costs nothing, whatever tokens it reads and writes.
pub(super) fn free_sheet(catalog_version: &str, provider_name: &str, model: &str) -> PriceSheet {
    let zero = |line| Rate::new(line, UnitPrice { usd: Decimal::ZERO, per: UnitPrice::TOKENS }, FREE_PRICE_ID);
    PriceSheet {
        catalog_version: catalog_version.to_owned(),
        provider_name: provider_name.to_owned(),
        model: model.to_owned(),
        rates: vec![zero(LineKind::InputText), zero(LineKind::OutputText)],
        max_output_tokens: DEFAULT_MAX_OUTPUT_TOKENS,
        others: BTreeMap::new(),
    }
}
