UPDATE budget SET definition = $3 WHERE tenant_id = $1 AND budget_number = $2
