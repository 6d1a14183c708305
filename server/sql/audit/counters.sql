-- Every counter of these budgets.
SELECT budget_number, scope, window_start, window_end, per_values, spent
FROM budget_window
WHERE tenant_id = $1 AND budget_number = ANY($2)
