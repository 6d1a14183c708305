UPDATE symbol SET value = $4 WHERE tenant_id = $1 AND dimension = $2 AND value = $3 RETURNING symbol_id
