UPDATE budget SET definition = $3, etag = $4, update_time = $5 WHERE tenant_id = $1 AND budget_number = $2
