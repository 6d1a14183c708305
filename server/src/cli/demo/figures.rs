//! Figures as people read them.

use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use tollgate_client::v1;

/// Cells of a bar.
const BAR_CELLS: usize = 24;

/// A whole number with its thousands grouped.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A decimal string to four decimals, for bars only: sums are shown in full.
fn short(amount: &str) -> String {
    Decimal::from_str_exact(amount).map_or_else(|_| amount.to_owned(), |amount| format!("{:.4}", amount.round_dp(4)))
}

/// A counter as a bar: spent, held, free.
pub(super) fn budget_line(name: &str, state: &v1::BudgetState) -> String {
    let v1::BudgetState { spent, held, effective_limit, .. } = state;
    let warning = match state.fired() {
        v1::Action::Alert => "  ⚠ alert",
        v1::Action::Downgrade => "  ↓ downgrades",
        v1::Action::Throttle => "  … throttles",
        v1::Action::Block => "  ✗ refuses",
        v1::Action::Unspecified => "",
    };
    format!(
        "{name:<24} {}  $ {} spent, {} held, of {}{warning}",
        bar(spent, held, effective_limit),
        short(spent),
        short(held),
        short(effective_limit),
    )
}

fn bar(spent: &str, held: &str, limit: &str) -> String {
    let spent_cells = cells(spent, limit);
    let held_cells = cells(held, limit).min(BAR_CELLS - spent_cells);
    let free = BAR_CELLS - spent_cells - held_cells;
    format!("{}{}{}", "█".repeat(spent_cells), "▒".repeat(held_cells), "░".repeat(free))
}

/// The share of the limit in cells, rounded up so that a little is seen, at most all.
fn cells(part: &str, limit: &str) -> usize {
    let share = || {
        let (part, limit) = (Decimal::from_str_exact(part).ok()?, Decimal::from_str_exact(limit).ok()?);
        part.checked_mul(Decimal::from(BAR_CELLS))?.checked_div(limit)?.ceil().to_usize()
    };
    share().unwrap_or(0).min(BAR_CELLS)
}

/// So many in a second, to the whole number.
pub(super) fn per_second(count: u64, span: Duration) -> u64 {
    let rate = u128::from(count).saturating_mul(1_000_000).checked_div(span.as_micros()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Seconds with three decimals.
pub(super) fn seconds(span: Duration) -> String {
    format!("{}.{:03}", span.as_secs(), span.subsec_millis())
}

/// Microseconds as milliseconds with two decimals.
pub(super) fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:02} ms", microseconds / 1_000, microseconds % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 22_361_870].map(grouped), ["0", "999", "1,000", "22,361,870"]);
    }

    #[test]
    fn a_bar_shows_spent_held_and_free() {
        assert_eq!(bar("0", "0", "1"), "░".repeat(24));
        assert_eq!(bar("0.5", "0.25", "1"), format!("{}{}{}", "█".repeat(12), "▒".repeat(6), "░".repeat(6)));
        assert_eq!(bar("3", "1", "1"), "█".repeat(24));
        assert_eq!(bar("0.0001", "0", "1"), format!("█{}", "░".repeat(23)));
        assert_eq!(bar("1", "", "0"), "░".repeat(24));
    }

    #[test]
    fn rates_and_spans() {
        assert_eq!(per_second(1_000, Duration::from_millis(500)), 2_000);
        assert_eq!(per_second(1, Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(12_034)), "12.034");
        assert_eq!(milliseconds(1_239), "1.23 ms");
    }
}
