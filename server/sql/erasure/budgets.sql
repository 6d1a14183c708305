SELECT budget_number, definition FROM budget WHERE tenant_id = $1
