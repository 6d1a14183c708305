-- Overrides of the tenant's active budgets.
SELECT count(*) AS "count!"
FROM budget_override AS other
JOIN budget ON budget.tenant_id = other.tenant_id AND budget.budget_number = other.budget_number
WHERE other.tenant_id = $1 AND budget.delete_time IS NULL
