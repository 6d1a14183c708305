-- The last window of the same counter before each of these.
SELECT
    wanted.window_start AS "wanted_start!", before.budget_number, before.scope, before.window_start, before.window_end,
    before.per_values, before.spent, before.held, before.presumed, before.overrun, before.highest_limit, before.version,
    before.overrun_causes, before.carried
FROM unnest($2::bigint[], $3::uuid[], $4::timestamptz[]) AS wanted (budget_number, scope, window_start)
CROSS JOIN LATERAL (
    SELECT * FROM budget_window
    WHERE tenant_id = $1 AND budget_number = wanted.budget_number AND scope = wanted.scope
        AND window_start < wanted.window_start
    ORDER BY window_start DESC
    LIMIT 1
) AS before
