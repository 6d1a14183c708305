-- Counters in one snapshot, without a lock, each by its whole key: for checks that hold nothing.
SELECT counter.*
FROM (
    SELECT DISTINCT budget_number, scope, window_start
    FROM unnest($2::bigint[], $3::uuid[], $4::timestamptz[]) AS wanted (budget_number, scope, window_start)
) AS wanted
CROSS JOIN LATERAL (
    SELECT
        budget_number, scope, window_start, window_end, per_values,
        spent, held, presumed, overrun, highest_limit, version, overrun_causes, carried
    FROM budget_window
    WHERE tenant_id = $1 AND budget_number = wanted.budget_number AND scope = wanted.scope
        AND window_start = wanted.window_start
    -- Else the planner, which knows of no row while the table is new, reads all of them.
    LIMIT 1
) AS counter
ORDER BY counter.budget_number, counter.scope, counter.window_start
