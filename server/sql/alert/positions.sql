SELECT tenant_id, last FROM alert_position WHERE tenant_id = ANY($1)
