//! The budgets of a run: one that refuses, one that warns, one that downgrades. They select the run's own project, so that
//! runs do not spend each other's money.

use anyhow::Context as _;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tollgate_client::{BudgetBuilder, Client, Window, dimension, is_one_of, v1};
use tollgate_domain::price::{Estimate, PriceBook, worst_case};

use super::cast::{PlannedCall, SMALL_MODEL, WRITER};

/// The budget of every user, which the busiest one exceeds.
pub(super) const USER_BUDGET: &str = "user-daily";
/// The budget of the project, which warns.
pub(super) const PROJECT_BUDGET: &str = "project-monthly";
/// The budget of the writer, which downgrades.
pub(super) const WRITER_BUDGET: &str = "writer-downgrade";

/// The ids of the budgets of a project's run.
pub(super) fn budget_ids(project: &str) -> [String; 3] {
    [USER_BUDGET, PROJECT_BUDGET, WRITER_BUDGET].map(|name| format!("{project}-{name}"))
}

/// Creates the budgets of the run. Their limits follow from what the calls would cost without them, so that each of them is
/// met by a trace of any length.
///
/// # Errors
/// What the server refuses, and calls that no price can be computed for.
pub(super) async fn create(
    client: &Client,
    prices: &PriceBook,
    project: &str,
    calls: &[PlannedCall],
) -> anyhow::Result<()> {
    for budget in budgets(prices, project, calls)? {
        let budget = v1::Budget::from(budget);
        let id = budget.budget_id.clone();
        client.create_budget(budget).await.with_context(|| format!("the budget {id} cannot be created"))?;
    }
    Ok(())
}

fn budgets(prices: &PriceBook, project: &str, calls: &[PlannedCall]) -> anyhow::Result<[BudgetBuilder; 3]> {
    let all = planned_usd(prices, calls.iter())?;
    let writer = planned_usd(prices, calls.iter().filter(|call| *call.agent == WRITER))?;
    let of_project = || is_one_of(dimension("project_id"), [project]);
    let id = |name: &str| format!("{project}-{name}");
    Ok([
        BudgetBuilder::usd(id(USER_BUDGET), share(all, 20), Window::day("UTC"))
            .display_name("Demo: every user, every day")
            .only(of_project())
            .per(dimension("user_id"))
            .hard(),
        BudgetBuilder::usd(id(PROJECT_BUDGET), share(all, 100), Window::month("UTC"))
            .display_name("Demo: the project, every month")
            .only(of_project())
            .alert_at(Decimal::new(5, 1)),
        BudgetBuilder::usd(id(WRITER_BUDGET), share(writer, 60), Window::lifetime())
            .display_name("Demo: the writer")
            .only(of_project())
            .only(is_one_of(dimension("agent_name"), [WRITER.name]))
            .downgrade_at(Decimal::new(5, 1), [SMALL_MODEL]),
    ])
}

/// What the calls cost if all of them run as planned.
fn planned_usd<'a>(prices: &PriceBook, calls: impl Iterator<Item = &'a PlannedCall>) -> anyhow::Result<Decimal> {
    let now = Timestamp::now();
    let mut usd = Decimal::ZERO;
    for call in calls {
        let estimate = Estimate {
            input_tokens: Some(call.traced.input_tokens),
            max_output_tokens: Some(call.traced.output_tokens),
            ..Estimate::default()
        };
        let sheet = prices.find(&call.priced_model(), now);
        let worst = worst_case(&estimate, sheet.as_deref()).context("a call of the trace is too large to be priced")?;
        usd = usd.saturating_add(worst.cost.usd.decimal());
    }
    Ok(usd)
}

/// So many percent of an amount, to four decimals and never nothing.
fn share(usd: Decimal, percent: i64) -> Decimal {
    let share = usd.saturating_mul(Decimal::new(percent, 2)).round_dp(4);
    share.max(Decimal::new(1, 4))
}

#[cfg(test)]
mod tests {
    use super::super::trace;
    use tollgate_domain::price::{Catalog, FreeProviders};

    use super::*;

    #[test]
    fn limits_follow_from_the_trace() {
        let calls = trace::sample().unwrap().into_iter().enumerate();
        let calls: Vec<_> = calls.map(|(index, traced)| PlannedCall::new("p", index, traced)).collect();
        let prices = PriceBook::of_catalog(Catalog::builtin().unwrap(), FreeProviders::default());
        let [user, project, writer] = budgets(&prices, "p", &calls).unwrap().map(v1::Budget::from);
        let usd = |budget: &v1::Budget| budget.limit.parse::<Decimal>().unwrap();
        // What scripts/sum_trace.py says about the sample, to four decimals.
        assert_eq!(usd(&project), Decimal::new(2_1979, 4));
        assert_eq!(usd(&user), Decimal::new(4396, 4));
        assert!(usd(&writer) < usd(&project));
        assert_eq!(share(Decimal::ZERO, 20), Decimal::new(1, 4));
        assert_eq!(user.per.len(), 1);
    }
}
