//! Lists, totals and summaries: planned for what is asked.

use super::statement::{Case, Statement, asked, with};

pub(super) fn statements() -> Vec<Statement> {
    [lists(), totals(), single_events(), pages()].concat()
}

const BY_TIME: &str = "usage_event_by_time (tenant_id, date_bin(start_time))";
const BY_SESSION: &str = "usage_event_by_session (tenant_id, COALESCE(session_id))";
const BY_SESSION_AND_TIME: &str = "usage_event_by_session (tenant_id, COALESCE(session_id), date_bin(start_time))";

fn lists() -> Vec<Statement> {
    let reservation = "reservation_pkey (tenant_id, reservation_id)";
    vec![
        asked(
            "usage/list_events.sql",
            [
                with("the newest", [(12, "50")], ["usage_event_by_time (tenant_id)"]).in_order(),
                with("of two hours", [(2, "start_of(90000)"), (3, "start_of(90080)"), (12, "50")], [BY_TIME])
                    .in_order(),
                with("a later page", [(7, "start_of(90000)"), (8, "digest_of(1)"), (12, "50")], [BY_TIME]).in_order(),
                with("of a session", [(4, "700"), (12, "50")], [BY_SESSION]).in_order(),
                with(
                    "a later page of a session",
                    [(4, "700"), (7, "start_of(14005)"), (8, "digest_of(1)"), (12, "50")],
                    [BY_SESSION_AND_TIME],
                )
                .in_order(),
            ],
        ),
        asked(
            "usage/session_events.sql",
            [with(
                "the newest",
                [
                    (2, "700"),
                    (3, "start_of(0)"),
                    (4, "start_of(90000)"),
                    (5, "start_of(90000)"),
                    (6, "digest_of(1)"),
                    (7, "50"),
                ],
                [BY_SESSION_AND_TIME],
            )
            .in_order()],
        ),
        asked(
            "usage/scan_events.sql",
            [
                with("a month", [(2, "start_of(0)"), (3, "start_of(28800)"), (7, "false"), (8, "500")], [BY_TIME])
                    .in_order(),
                with(
                    "of some shapes",
                    [(2, "start_of(0)"), (3, "start_of(28800)"), (6, "ARRAY[1, 2]"), (7, "true"), (8, "500")],
                    [BY_TIME, "usage_adjustment_pkey (tenant_id, event_id)"],
                )
                .in_order(),
            ],
        ),
        asked("reservation/get.sql", [with("one", [(2, "digest_of(1)")], [reservation])]),
        asked(
            "reservation/list.sql",
            [
                with("the newest", [(2, "'{}'"), (5, "50")], ["reservation_pkey (tenant_id)"]).in_order(),
                with("a later page", [(2, "ARRAY[2]"), (4, "id_at(start_of(9000))"), (5, "50")], [reservation])
                    .in_order(),
                with("what is open", [(2, "ARRAY[1]"), (5, "50")], ["reservation_expiring (tenant_id)"]),
            ],
        ),
    ]
}

/// Two days and four quarter hours.
fn segments<const READS: usize>(
    what: &'static str,
    more: &[(usize, &'static str)],
    reads: [&'static str; READS],
) -> Case {
    let mut case = with(
        what,
        [
            (2, "ARRAY['2020-02-01'::timestamptz, '2020-02-10', '2020-02-20']"),
            (3, "ARRAY['2020-02-02'::timestamptz, '2020-02-11', '2020-02-20 01:00']"),
            (4, "ARRAY[2, 2, 1]"),
        ],
        reads,
    );
    case.values.extend(more);
    case
}

fn totals() -> Vec<Statement> {
    let by_shape = "usage_rollup_pkey (tenant_id, grain, bucket)";
    let by_user = "user_rollup_by_user (tenant_id, grain, user_id, bucket)";
    let outputs = (5, "ARRAY[1, 2, 3]");
    let shapes = (6, "numbers_to(300)");
    vec![
        asked("summary/snapshot.sql", [with("one", [(1, "'1000'"), (2, "1")], ["all of tenant"])]),
        asked("summary/shape_ids.sql", [with("all", [], ["shape_pkey (tenant_id)"])]),
        asked("summary/price_sheet_ids.sql", [with("all", [], ["price_sheet_pkey (tenant_id)"])]),
        asked(
            "summary/count_events.sql",
            [segments("days and an hour", &[], ["usage_rollup_pkey (tenant_id, grain, bucket, adjustment)"])],
        ),
        asked(
            "summary/sum_by_shape.sql",
            [segments(
                "days and an hour",
                &[outputs, shapes, (7, "array_fill(1, ARRAY[300])"), (8, "1000"), (9, "true")],
                [by_shape],
            )],
        ),
        asked(
            "summary/sum_by_user.sql",
            [
                segments(
                    "all users",
                    &[
                        outputs,
                        shapes,
                        (7, "array_fill(1, ARRAY[300])"),
                        (9, "false"),
                        (10, "true"),
                        (11, "false"),
                        (14, "1000"),
                        (15, "true"),
                    ],
                    ["user_rollup_pkey (tenant_id, grain, bucket)"],
                ),
                segments(
                    "one user",
                    &[
                        outputs,
                        shapes,
                        (7, "array_fill(1, ARRAY[300])"),
                        (8, "ARRAY[6001]"),
                        (9, "false"),
                        (10, "false"),
                        (11, "false"),
                        (14, "1000"),
                        (15, "true"),
                    ],
                    [by_user],
                ),
            ],
        ),
        asked(
            "summary/session_totals.sql",
            [with(
                "two sessions",
                [(2, "ARRAY[7, 8]"), (3, "ARRAY[false, true]"), (4, "ARRAY[1, 2]")],
                ["session_usage_pkey (tenant_id, session_id, descendants)"],
            )],
        ),
        asked(
            "summary/count_session_events.sql",
            [with(
                "two sessions",
                [(2, "ARRAY[7, 8]")],
                ["session_usage_pkey (tenant_id, session_id, descendants, adjustment)"],
            )],
        ),
    ]
}

fn single_events() -> Vec<Statement> {
    let spans = [
        (2, "ARRAY[start_of(9600), start_of(90000)]"),
        (3, "ARRAY[start_of(9680), start_of(90080)]"),
        (7, "false"),
        (8, "2000001"),
    ];
    let legs = |what: &'static str, more: &[(usize, &'static str)], reads: &'static str| {
        let mut case = with(what, spans, [reads]);
        case.values.extend(more);
        case
    };
    vec![
        asked("summary/events_by_start.sql", [with("two spans", spans, [BY_TIME])]),
        asked(
            "summary/events_by_charge.sql",
            [with("two spans", spans, [BY_TIME, "usage_event_by_charge (COALESCE(other_charge_time))"])],
        ),
        asked(
            "summary/events_of_sessions.sql",
            [with(
                "two sessions",
                [(2, "ARRAY[7, 8]"), (3, "start_of(0)"), (4, "start_of(90000)"), (8, "false"), (9, "2000001")],
                [BY_SESSION_AND_TIME],
            )],
        ),
        asked(
            "summary/adjustments.sql",
            [
                legs("by start", &[(9, "false")], "usage_adjustment_by_time (tenant_id, date_bin(start_time))"),
                legs(
                    "by charge",
                    &[(9, "true")],
                    "usage_adjustment_by_charge (tenant_id, date_bin(other_charge_time))",
                ),
                legs(
                    "of two sessions",
                    &[(9, "false"), (10, "ARRAY[7, 8]")],
                    "usage_adjustment_by_session (tenant_id, COALESCE(session_id), date_bin(start_time))",
                ),
            ],
        ),
    ]
}

fn pages() -> Vec<Statement> {
    vec![
        asked("summary/add_pages.sql", [with("some", [], [])]),
        asked(
            "summary/find_page.sql",
            [with(
                "one",
                [(2, "digest_of(1)"), (3, "digest_of(2)")],
                ["summary_page_pkey (tenant_id, page_id)", "all of tenant"],
            )],
        ),
        // As many as were asked for within a few minutes: an index by time would cost more than it saves.
        asked("summary/drop_expired_pages.sql", [with("all", [], ["all of summary_page"])]),
    ]
}
