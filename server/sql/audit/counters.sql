-- Every counter of these budgets, of windows that meet [$3, $4), where they are given.
SELECT budget_number, scope, window_start, window_end, per_values, spent
FROM budget_window
WHERE tenant_id = $1 AND budget_number = ANY($2)
    AND ($3::timestamptz IS NULL OR (window_end > $3 AND window_start < $4::timestamptz))
