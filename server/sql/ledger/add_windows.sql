-- Counters that are not there yet, the first call of a never-seen user included. Keys come sorted. Answers those that are new.
INSERT INTO budget_window (
    tenant_id, budget_number, scope, window_start, window_end, per_values, highest_limit
)
SELECT
    $1, added.budget_number, added.scope, added.window_start, added.window_end, added.per_values, added.highest_limit
FROM unnest(
    $2::bigint[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::jsonb[], $7::numeric[]
) AS added (budget_number, scope, window_start, window_end, per_values, highest_limit)
ON CONFLICT DO NOTHING
RETURNING budget_number, scope, window_start
