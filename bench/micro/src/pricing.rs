//! Finding a price, and applying it.

use std::hint::black_box;

use anyhow::ensure;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Catalog, FreeProviders, PriceBook};

use crate::{Routine, sample};

/// Models of several providers: tables by name are seeded anew in each process, and one name alone would tell of its luck.
const MODELS: [(&str, &str); 10] = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4.1-mini"),
    ("openai", "o3"),
    ("anthropic", "claude-sonnet-4-20250514"),
    ("anthropic", "claude-3-5-haiku-latest"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("mistral", "mistral-large-latest"),
    ("deepseek", "deepseek-chat"),
];

/// The prices in force for ten models, in the book of a tenant without prices of its own.
pub(crate) fn lookups() -> anyhow::Result<Routine> {
    let book = PriceBook::of_catalog(Catalog::builtin()?, FreeProviders::default());
    let at = sample::start()?;
    let models = MODELS.map(|(provider_name, model)| ModelRef::new(provider_name, model));
    for model in &models {
        ensure!(book.find(model, at).is_some(), "the catalog does not know {}", model.model);
    }
    Ok(Routine::new(move || {
        for model in &models {
            black_box(book.find(black_box(model), at));
        }
    }))
}

/// The cost of a call, line by line.
pub(crate) fn call() -> anyhow::Result<Routine> {
    let event = sample::event()?;
    let sheet = sample::sheet()?;
    Ok(Routine::new(move || {
        drop(black_box(black_box(&event).used().bill(Some(&sheet))));
    }))
}
