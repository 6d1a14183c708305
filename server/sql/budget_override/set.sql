INSERT INTO budget_override (
    tenant_id, budget_number, scope, per_values, limit_amount, start_time, end_time, etag, create_time, update_time
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
ON CONFLICT (tenant_id, budget_number, scope) DO UPDATE SET
    limit_amount = excluded.limit_amount,
    start_time = excluded.start_time,
    end_time = excluded.end_time,
    etag = excluded.etag,
    update_time = excluded.update_time
