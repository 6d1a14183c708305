//! Finding a price, and applying it.

use std::hint::black_box;

use tollgate_domain::price::{Catalog, FreeProviders, PriceBook};

use crate::{Routine, sample};

/// The price in force for a model, in the book of a tenant without prices of its own.
pub(crate) fn lookup() -> anyhow::Result<Routine> {
    let book = PriceBook::of_catalog(Catalog::builtin()?, FreeProviders::default());
    let event = sample::event()?;
    Ok(Routine::new(move || {
        black_box(book.find(black_box(event.model()), event.start_time));
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
