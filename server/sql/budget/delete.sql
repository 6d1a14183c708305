UPDATE budget SET delete_time = $3, update_time = $3, etag = $4 WHERE tenant_id = $1 AND budget_number = $2
