INSERT INTO budget (
    tenant_id, budget_id, definition, counted_from, request_id, etag, create_time, update_time
) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
RETURNING budget_number
