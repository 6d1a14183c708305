INSERT INTO tenant_price (
    tenant_id, price_id, provider_name, model, provider_tier, region, coverage, rates, multiplier, start_time, end_time,
    note, create_time, request_id, request_digest
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
