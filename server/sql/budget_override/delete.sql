DELETE FROM budget_override WHERE tenant_id = $1 AND budget_number = $2 AND scope = $3
