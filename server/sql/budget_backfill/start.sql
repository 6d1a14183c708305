INSERT INTO budget_backfill (tenant_id, budget_number, recorded_before, counted_to) VALUES ($1, $2, $3, $4)
