//! What a batch runs, again and again on the same connections: planned once, for any values.

use super::statement::{Statement, repeated};

pub(super) fn statements() -> Vec<Statement> {
    [events(), dictionary(), reservations(), counters(), alerts()].concat()
}

/// Two events of different months, so that a plan that looks at every partition shows.
const EVENTS: &str = "ARRAY[id_at(start_of(100), 100), id_at(start_of(90000), 90000)]";

fn events() -> Vec<Statement> {
    vec![
        repeated("ledger/clock.sql", ["all of tenant"]),
        repeated("ledger/heartbeat.sql", ["all of tenant"]),
        repeated("ledger/lock_budgets.sql", []),
        repeated("ledger/add_external_keys.sql", []),
        repeated("ledger/find_external_keys.sql", ["external_key_pkey (tenant_id, source, key)"]),
        repeated("ledger/record.sql", ["session_usage_pkey on conflict", "user_rollup_pkey on conflict"]),
        repeated("ledger/add_notices.sql", ["usage_event_pkey (tenant_id, event_id)"])
            .of_partitions([(2, EVENTS), (3, "ARRAY[1, 1]")], 2),
        repeated("usage/events_by_id.sql", ["usage_event_pkey (tenant_id, event_id)"]).of_partitions([(2, EVENTS)], 2),
        repeated("ledger/lock_events.sql", ["usage_event_pkey (tenant_id, event_id)"]).of_partitions([(2, EVENTS)], 2),
        repeated("usage/newest_adjustments.sql", ["usage_adjustment_pkey (tenant_id, event_id)"]),
        repeated("ledger/insert_adjustments.sql", []),
        repeated("ledger/find_adjustment_requests.sql", ["adjustment_request_pkey (tenant_id, request_id, step)"]),
        repeated("ledger/add_adjustment_requests.sql", []),
    ]
}

fn dictionary() -> Vec<Statement> {
    vec![
        repeated("dictionary/add_symbols.sql", []),
        repeated("dictionary/find_symbols.sql", ["symbol_tenant_id_dimension_value_key (tenant_id, dimension, value)"]),
        repeated("dictionary/symbols_by_id.sql", ["symbol_pkey (tenant_id, symbol_id)"]),
        repeated("dictionary/add_shapes.sql", []),
        repeated("dictionary/find_shapes.sql", ["shape_tenant_id_digest_key (tenant_id, digest)"]),
        repeated("dictionary/shapes_by_id.sql", ["shape_pkey (tenant_id, shape_id)"]),
        repeated("dictionary/add_price_sheets.sql", []),
        repeated("dictionary/count_symbols.sql", ["symbol_tenant_id_dimension_value_key (tenant_id, dimension)"]),
        repeated("dictionary/count_shapes.sql", ["shape_pkey (tenant_id)"]),
        repeated("dictionary/count_price_sheets.sql", ["price_sheet_pkey (tenant_id)"]),
        repeated("dictionary/find_price_sheets.sql", ["price_sheet_tenant_id_digest_key (tenant_id, digest)"]),
        repeated("dictionary/price_sheets_by_id.sql", ["price_sheet_pkey (tenant_id, price_sheet_id)"]),
    ]
}

fn reservations() -> Vec<Statement> {
    let key = "reservation_pkey (tenant_id, reservation_id)";
    vec![
        repeated("ledger/lock_reservations.sql", [key]),
        repeated("reservation/known.sql", [key]),
        repeated("reservation/pending_among.sql", [key]),
    ]
}

fn counters() -> Vec<Statement> {
    let key = "budget_window_pkey (tenant_id, budget_number, scope, window_start)";
    let period = "budget_period_pkey (tenant_id, budget_number, period_start)";
    vec![
        repeated("ledger/add_windows.sql", []),
        repeated("ledger/lock_windows.sql", [key]),
        repeated(
            "ledger/conclude.sql",
            [
                "budget_window_pkey on conflict",
                "reservation_pkey (tenant_id, reservation_id)",
                "usage_rollup_pkey on conflict",
            ],
        ),
        repeated("budget/windows_before.sql", [key]),
        repeated("budget/set_carried.sql", [key]),
        repeated("budget_period/lock.sql", []),
        repeated("budget_period/add.sql", []),
        repeated("budget_period/neighbours.sql", [period]),
        repeated("budget_period/in_range.sql", [period]),
    ]
}

fn alerts() -> Vec<Statement> {
    vec![
        repeated("alert/known.sql", ["alert_tenant_id_occasion_key (tenant_id, occasion)"]),
        repeated("alert/models_today.sql", ["alert_about_models (tenant_id, kind, create_time)"]),
        repeated("alert/take_positions.sql", ["alert_position_pkey on conflict"]),
        repeated("alert/insert.sql", ["alert_tenant_id_occasion_key on conflict"]),
        repeated("alert/add_deliveries.sql", []),
    ]
}
