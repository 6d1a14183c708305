SELECT price_id FROM tenant_price WHERE tenant_id = $1 AND superseded_by = $2 ORDER BY price_id
