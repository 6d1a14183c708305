INSERT INTO budget_period (tenant_id, budget_number, period_start, period_end)
SELECT $1, added.budget_number, added.period_start, added.period_end
FROM unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[]) AS added (budget_number, period_start, period_end)
ON CONFLICT DO NOTHING
