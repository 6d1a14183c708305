SELECT price_sheet_id, digest FROM price_sheet WHERE tenant_id = $1 AND digest = ANY($2)
