SELECT symbol_id, value FROM symbol WHERE tenant_id = $1 AND symbol_id = ANY($2)
