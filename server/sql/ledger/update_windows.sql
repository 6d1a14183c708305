-- Counters that moved; all of them are there, and locked. Written as an upsert, which looks for each by its whole key, whatever
-- the planner believes of the table's size.
INSERT INTO budget_window (
    tenant_id, budget_number, scope, window_start, window_end, per_values, spent, held, presumed, overrun, highest_limit,
    overrun_causes
)
SELECT
    $1, changed.budget_number, changed.scope, changed.window_start, changed.window_end, changed.per_values,
    changed.spent, changed.held, changed.presumed, changed.overrun, changed.highest_limit, changed.overrun_causes
FROM unnest(
    $2::bigint[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::jsonb[], $7::numeric[], $8::numeric[],
    $9::numeric[], $10::numeric[], $11::numeric[], $12::jsonb[]
) AS changed (
    budget_number, scope, window_start, window_end, per_values, spent, held, presumed, overrun, highest_limit,
    overrun_causes
)
ON CONFLICT (tenant_id, budget_number, scope, window_start) DO UPDATE SET
    spent = excluded.spent,
    held = excluded.held,
    presumed = excluded.presumed,
    overrun = excluded.overrun,
    highest_limit = excluded.highest_limit,
    overrun_causes = excluded.overrun_causes,
    version = budget_window.version + 1
