SELECT scope, per_values, limit_amount, start_time, end_time, etag, create_time, update_time
FROM budget_override
WHERE tenant_id = $1 AND budget_number = $2 AND ($3::uuid IS NULL OR scope > $3)
ORDER BY scope
LIMIT $4
