-- Of all active budgets. Past ones, too: they were the limit of windows that may still be settled.
SELECT other.budget_number, other.scope, other.per_values, other.limit_amount, other.start_time, other.end_time
FROM budget_override AS other
JOIN budget ON budget.tenant_id = other.tenant_id AND budget.budget_number = other.budget_number
WHERE other.tenant_id = $1 AND budget.delete_time IS NULL
