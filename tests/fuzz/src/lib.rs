//! What any bytes from outside must never do.
//!
//! Each function takes bytes as they may arrive and panics where a property does not hold; that a call returns at all is one. They are
//! driven by libFuzzer (`libfuzzer/`, by `cargo fuzz`), and with the corpus that it found by the tests of this crate.

#![expect(clippy::panic, clippy::expect_used, reason = "a panic is how a fuzzer is told that a property does not hold")]

pub mod provider_usage;
pub mod requests;
pub mod seeds;
pub mod summaries;

/// A function that a fuzzer drives.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 3] =
    [("requests", requests::run), ("provider_usage", provider_usage::run), ("summaries", summaries::run)];
