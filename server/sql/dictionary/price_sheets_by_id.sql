SELECT price_sheet_id, content FROM price_sheet WHERE tenant_id = $1 AND price_sheet_id = ANY($2)
