SELECT price_sheet_id FROM price_sheet WHERE tenant_id = $1
