UPDATE tenant_price SET end_time = $3, superseded_by = coalesce($4, superseded_by)
WHERE tenant_id = $1 AND price_id = ANY($2::uuid[])
