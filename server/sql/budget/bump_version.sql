UPDATE tenant SET budgets_version = budgets_version + 1 WHERE tenant_id = $1
