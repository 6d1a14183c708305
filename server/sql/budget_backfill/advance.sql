UPDATE budget_backfill SET counted_to = $3 WHERE tenant_id = $1 AND budget_number = $2
