SELECT price_id, request_digest FROM tenant_price WHERE tenant_id = $1 AND request_id = $2
