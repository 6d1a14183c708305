SELECT shape_id, digest FROM shape WHERE tenant_id = $1 AND digest = ANY($2)
