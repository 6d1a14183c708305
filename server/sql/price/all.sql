SELECT
    price_id, provider_name, model, provider_tier, region, coverage, rates, multiplier, start_time, end_time, note,
    create_time
FROM tenant_price
WHERE tenant_id = $1
ORDER BY price_id
LIMIT $2
