//! What tasks run beside the calls: expiry and retention, which must not cost more the more there is.

use super::statement::{Statement, asked, with};

pub(super) fn statements() -> Vec<Statement> {
    [reservations(), events(), sealed(), counters(), others()].concat()
}

fn reservations() -> Vec<Statement> {
    let key = "reservation_pkey (tenant_id, reservation_id)";
    vec![
        asked(
            "reservation/expired.sql",
            [with("what ran out", [(2, "500")], ["reservation_expiring (tenant_id, expire_time)"]).in_order()],
        ),
        asked(
            "reservation/open.sql",
            [
                with("the first page", [(3, "500")], ["reservation_expiring (tenant_id)"]),
                with("a later page", [(2, "id_at(start_of(30000))"), (3, "500")], ["reservation_expiring (tenant_id)"]),
            ],
        ),
        asked(
            "retention/purge_reservations.sql",
            [with(
                "the oldest",
                [(2, "start_of(9000)"), (3, "id_at(start_of(9000))"), (4, "500")],
                [key, "all of tenant"],
            )],
        ),
    ]
}

fn events() -> Vec<Statement> {
    let events = "ARRAY[id_at(start_of(100), 100), id_at(start_of(101), 101)]";
    vec![
        asked(
            "retention/oldest_events.sql",
            [with(
                "of the first month",
                [(2, "id_at(start_of(9000))"), (3, "500")],
                ["usage_event_pkey (tenant_id, event_id)"],
            )
            .in_order()
            .of_partitions(1)],
        ),
        asked(
            "retention/delete_events.sql",
            [with("two", [(2, events)], ["usage_event_pkey (tenant_id, event_id)"]).of_partitions(1)],
        ),
        asked(
            "retention/delete_adjustments.sql",
            [with("two", [(2, events)], ["usage_adjustment_pkey (tenant_id, event_id)"])],
        ),
        asked(
            "retention/delete_external_keys.sql",
            [with(
                "two",
                [(2, "ARRAY['gateway', 'gateway']"), (3, "ARRAY['call-1', 'call-2']")],
                ["external_key_pkey (tenant_id, source, key)"],
            )],
        ),
        asked(
            "retention/purge_adjustment_requests.sql",
            [with("the oldest", [(2, "start_of(2000)"), (3, "500")], ["all of adjustment_request"]).once_an_hour()],
        ),
    ]
}

fn sealed() -> Vec<Statement> {
    vec![
        asked("retention/seal_sessions.sql", [with("some", [], ["sealed_session_pkey on conflict"])]),
        asked("retention/seal_rollups.sql", [with("some", [], ["sealed_rollup_pkey on conflict"])]),
        asked(
            "retention/seal_counters.sql",
            [with(
                "two",
                [
                    (2, "ARRAY[3, 4]"),
                    (3, "ARRAY[digest_of(7), digest_of(8)]"),
                    (4, "ARRAY[start_of(1), start_of(1)]"),
                    (5, "ARRAY[1, 1]"),
                ],
                [
                    "budget_window_pkey (tenant_id, budget_number, scope, window_start)",
                    "sealed_counter_pkey on conflict",
                ],
            )],
        ),
        // Asked by a rebuild and an audit, which read everything.
        asked("retention/sealed_sessions.sql", [with("all", [], ["all of sealed_session"])]),
        asked("retention/sealed_rollups.sql", [with("all", [], ["all of sealed_rollup"])]),
        asked(
            "retention/sealed_counters.sql",
            [with("of a budget", [(2, "3")], ["sealed_counter_pkey (tenant_id, budget_number)"])],
        ),
    ]
}

fn counters() -> Vec<Statement> {
    let counter = "budget_window_pkey (tenant_id, budget_number, scope, window_start)";
    vec![
        asked(
            "retention/ended_windows.sql",
            [with(
                "the oldest",
                [(2, "start_of(14500)"), (3, "500")],
                ["all of budget_window", "all of sealed_counter", counter],
            )
            .once_an_hour()],
        ),
        asked(
            "retention/delete_windows.sql",
            [with(
                "two",
                [(2, "ARRAY[3, 4]"), (3, "ARRAY[digest_of(7), digest_of(8)]"), (4, "ARRAY[start_of(0), start_of(0)]")],
                [counter, "sealed_counter_pkey (tenant_id, budget_number, scope, window_start)"],
            )],
        ),
        asked(
            "retention/purge_periods.sql",
            [with(
                "the oldest",
                [(2, "start_of(14500)"), (3, "500")],
                ["all of budget_period", "budget_window_pkey (tenant_id, budget_number, window_start)"],
            )],
        ),
    ]
}

fn others() -> Vec<Statement> {
    vec![asked(
        "retention/purge_alerts.sql",
        [with(
            "the oldest",
            [(2, "start_of(500)"), (3, "500")],
            ["alert_pkey (tenant_id, alert_id)", "all of alert", "all of alert_delivery"],
        )
        .once_an_hour()],
    )]
}
