SELECT shape_id, content FROM shape WHERE tenant_id = $1 AND shape_id = ANY($2)
