-- Every counter of a budget, locked in the one global order.
SELECT
    budget_number, scope, window_start, window_end, per_values,
    spent, held, presumed, overrun, highest_limit, version, overrun_causes, carried
FROM budget_window
WHERE tenant_id = $1 AND budget_number = $2
ORDER BY budget_number, scope, window_start
FOR UPDATE
