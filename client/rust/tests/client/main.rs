//! The client against small servers whose answers each test writes: what is sent, what is retried, and what it comes to.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail the test, too")]

mod budgets;
mod checks;
mod fake;
mod guards;
mod reads;
mod recorders;
mod records;
mod retries;
mod watches;
