INSERT INTO budget_backfill_sum (
    tenant_id, budget_number, scope, window_start, window_end, per_values, amount
)
SELECT $1, $2, added.scope, added.window_start, added.window_end, added.per_values, added.amount
FROM unnest($3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::jsonb[], $7::numeric[])
    AS added (scope, window_start, window_end, per_values, amount)
ON CONFLICT (tenant_id, budget_number, scope, window_start) DO UPDATE SET
    amount = budget_backfill_sum.amount + excluded.amount
