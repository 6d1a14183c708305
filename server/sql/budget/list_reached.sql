-- Counters of a budget, or one of them ($6), in open windows that stand at an amount or above it, or over their limit.
SELECT
    budget_number, scope, window_start, window_end, per_values, spent, held, presumed, overrun, highest_limit, version,
    overrun_causes, carried
FROM budget_window
WHERE tenant_id = $1 AND budget_number = $2 AND window_start <= $3 AND window_end > $3
    AND (spent + held + presumed >= $4 OR overrun > 0)
    AND ($6::uuid IS NULL OR scope = $6)
ORDER BY spent + held + presumed DESC, scope
LIMIT $5
