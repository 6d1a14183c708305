SELECT shape_id FROM shape WHERE tenant_id = $1
