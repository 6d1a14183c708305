//! Budgets, their counters and alerts, as they are administered and shown.

use super::statement::{Statement, asked, repeated, with};

pub(super) fn statements() -> Vec<Statement> {
    [definitions(), counters(), overrides(), backfills(), alerts()].concat()
}

/// A counter: the scope of a user under budget 3.
const SCOPE: &str = "digest_of(700)";

/// A counter's key, by the parameters that give it.
const ONE_COUNTER: [(usize, &str); 3] = [(2, "ARRAY[3]"), (3, "ARRAY[digest_of(700)]"), (4, "ARRAY[start_of(1)]")];

fn definitions() -> Vec<Statement> {
    let number = "budget_pkey (tenant_id, budget_number)";
    let job = "all of budget_backfill";
    vec![
        asked("budget/active.sql", [with("all", [], ["all of budget", "all of budget_backfill"])]),
        asked(
            "budget/find.sql",
            [with("one", [(2, "'budget-7'")], ["budget_tenant_id_budget_id_key (tenant_id, budget_id)", job])],
        ),
        asked(
            "budget/list.sql",
            [with(
                "a page",
                [(2, "'budget-5'"), (3, "false"), (4, "50")],
                ["budget_tenant_id_budget_id_key (tenant_id, budget_id)", job],
            )
            .in_order()],
        ),
        asked("budget/insert.sql", [with("one", [], [])]),
        asked("budget/update.sql", [with("one", [(2, "7")], [number])]),
        asked("budget/delete.sql", [with("one", [(2, "7")], [number])]),
        asked("budget/bump_version.sql", [with("one", [], ["all of tenant"])]),
        asked("budget/matched.sql", [with("two", [(2, "ARRAY[7, 8]"), (3, "ARRAY[now(), now()]")], [number])]),
    ]
}

fn counters() -> Vec<Statement> {
    let key = "budget_window_pkey (tenant_id, budget_number, scope, window_start)";
    let of_budget = "budget_window_pkey (tenant_id, budget_number)";
    let of_window = "budget_window_pkey (tenant_id, budget_number, window_start)";
    let of_counter = "budget_window_pkey (tenant_id, budget_number, scope)";
    vec![
        repeated("budget/read_windows.sql", [key]),
        asked(
            "budget/list_windows.sql",
            [
                with(
                    "all of two",
                    [(2, "ARRAY[3, 4]"), (3, "start_of(1)"), (5, "0"), (6, "digest_of(1)"), (7, "50")],
                    [key],
                )
                .in_order(),
                with(
                    "by values",
                    [
                        (2, "ARRAY[3, 4]"),
                        (3, "start_of(1)"),
                        (4, "'{\"user_id\": \"user-7\"}'"),
                        (5, "0"),
                        (6, "digest_of(1)"),
                        (7, "50"),
                    ],
                    [key],
                ),
            ],
        ),
        asked(
            "budget/list_reached.sql",
            [
                with("of a budget", [(2, "3"), (3, "start_of(1)"), (4, "90"), (5, "50")], [of_window]),
                with("of a counter", [(2, "3"), (3, "start_of(1)"), (4, "90"), (5, "50"), (6, SCOPE)], [key]),
            ],
        ),
        asked("budget/write_windows.sql", [with("one", ONE_COUNTER, [key])]),
        asked(
            "budget/part_names.sql",
            [with(
                "two",
                [(2, "ARRAY[3, 4]"), (3, "ARRAY[digest_of(7), digest_of(8)]")],
                [of_counter, "budget_pkey (tenant_id)"],
            )],
        ),
        asked(
            "budget/book_overrun.sql",
            [
                with(
                    "of a budget",
                    [(2, "3"), (3, "100"), (4, "start_of(1)"), (6, "false")],
                    [of_budget, key, "budget_override_pkey (tenant_id, budget_number)"],
                )
                .confined([of_budget, "budget_override_pkey (tenant_id, budget_number)"]),
                with(
                    "of a counter",
                    [(2, "3"), (3, "100"), (4, "start_of(1)"), (5, SCOPE), (6, "false")],
                    [of_counter, key, "budget_override_pkey (tenant_id, budget_number, scope)"],
                ),
            ],
        ),
        asked(
            "budget/charged_groups.sql",
            [with(
                "two days",
                [
                    (2, "ARRAY[start_of(9600), start_of(10560)]"),
                    (3, "ARRAY[start_of(10560), start_of(11520)]"),
                    (4, "ARRAY[6]"),
                    (5, "false"),
                    (6, "1000"),
                ],
                [
                    "usage_event_by_charge (COALESCE(other_charge_time))",
                    "usage_adjustment_by_charge (tenant_id, date_bin(other_charge_time))",
                ],
            )],
        ),
    ]
}

fn overrides() -> Vec<Statement> {
    let key = "budget_override_pkey (tenant_id, budget_number, scope)";
    vec![
        asked("budget_override/active.sql", [with("all", [], ["all of budget", "all of budget_override"])]),
        asked("budget_override/count.sql", [with("all", [], ["all of budget", "all of budget_override"])]),
        asked("budget_override/find.sql", [with("one", [(2, "3"), (3, SCOPE)], [key])]),
        asked(
            "budget_override/list.sql",
            [
                with("the first page", [(2, "3"), (4, "50")], ["budget_override_pkey (tenant_id, budget_number)"])
                    .in_order(),
                with("a later page", [(2, "3"), (3, SCOPE), (4, "50")], [key]).in_order(),
            ],
        ),
        asked("budget_override/set.sql", [with("one", [], ["budget_override_pkey on conflict"])]),
        asked("budget_override/delete.sql", [with("one", [(2, "3"), (3, SCOPE)], [key])]),
    ]
}

fn backfills() -> Vec<Statement> {
    let job = "all of budget_backfill";
    let sums = "budget_backfill_sum_pkey (tenant_id, budget_number)";
    vec![
        asked("budget_backfill/start.sql", [with("one", [], [])]),
        asked("budget_backfill/next.sql", [with("one", [], ["all of budget_backfill", "budget_pkey (tenant_id)"])]),
        asked("budget_backfill/advance.sql", [with("one", [(2, "3"), (3, "start_of(9)")], [job])]),
        asked("budget_backfill/finish.sql", [with("one", [(2, "3")], ["all of budget_backfill", sums])]),
        asked("budget_backfill/add_sums.sql", [with("some", [], ["budget_backfill_sum_pkey on conflict"])]),
        asked(
            "budget_backfill/counted.sql",
            [with("one", [(2, "3")], [sums, "budget_window_pkey (tenant_id, budget_number)"])],
        ),
        asked(
            "budget_backfill/chunk_end.sql",
            [with(
                "from an instant",
                [(2, "start_of(90000)"), (3, "1000")],
                ["usage_rollup_pkey (tenant_id, grain, bucket, adjustment)"],
            )],
        ),
        asked(
            "budget_backfill/count_events.sql",
            [with(
                "from an instant",
                [(2, "start_of(90000)")],
                ["usage_rollup_pkey (tenant_id, grain, bucket, adjustment)"],
            )],
        ),
    ]
}

fn alerts() -> Vec<Statement> {
    let key = "alert_pkey (tenant_id, alert_id)";
    let by_position = "alert_tenant_id_position_key (tenant_id, position)";
    vec![
        asked("alert/get.sql", [with("two", [(2, "ARRAY[digest_of(1), digest_of(2)]")], [key])]),
        asked("alert/acknowledge.sql", [with("one", [(2, "digest_of(1)")], [key])]),
        asked("alert/positions.sql", [with("one", [(1, "ARRAY[1]")], ["all of alert_position"])]),
        asked(
            "alert/list.sql",
            [
                with("the first page", [(5, "false"), (7, "50")], ["alert_tenant_id_position_key (tenant_id)"])
                    .in_order(),
                with("a later page", [(2, "15000"), (5, "false"), (7, "50")], [by_position]).in_order(),
                with("what is open", [(5, "true"), (7, "50")], ["alert_unacknowledged (tenant_id)"]).in_order(),
                with(
                    "of a budget",
                    [(5, "false"), (6, "3"), (7, "50")],
                    ["alert_by_budget (tenant_id, budget_number)"],
                )
                .in_order(),
            ],
        ),
        asked(
            "alert/since.sql",
            [
                with("of all", [(2, "19000"), (3, "20000"), (4, "'{}'"), (5, "50")], [by_position]).in_order(),
                with(
                    "of two budgets",
                    [(2, "19000"), (3, "20000"), (4, "ARRAY[3, 4]"), (5, "50")],
                    ["alert_by_budget (tenant_id, budget_number, position)"],
                ),
            ],
        ),
        asked(
            "alert/claim_deliveries.sql",
            [with(
                "what is due",
                [(2, "8"), (3, "60000")],
                ["alert_delivery_due (tenant_id, next_attempt_time)", "alert_delivery_pkey (tenant_id, alert_id)"],
            )],
        ),
        asked(
            "alert/end_delivery.sql",
            [with("one", [(2, "digest_of(1)"), (4, "true")], ["alert_delivery_pkey (tenant_id, alert_id)"])],
        ),
    ]
}
