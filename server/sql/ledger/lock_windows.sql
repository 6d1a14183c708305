-- The hot rows, locked last and in one global order, each by its whole key: whatever the planner believes of the table's size.
SELECT counter.*
FROM (
    SELECT DISTINCT budget_number, scope, window_start
    FROM unnest($2::bigint[], $3::uuid[], $4::timestamptz[]) AS wanted (budget_number, scope, window_start)
    ORDER BY budget_number, scope, window_start
) AS wanted
CROSS JOIN LATERAL (
    SELECT
        budget_number, scope, window_start, window_end, per_values,
        spent, held, presumed, overrun, highest_limit, version, overrun_causes, carried
    FROM budget_window
    WHERE tenant_id = $1 AND budget_number = wanted.budget_number AND scope = wanted.scope
        AND window_start = wanted.window_start
    FOR UPDATE
) AS counter
