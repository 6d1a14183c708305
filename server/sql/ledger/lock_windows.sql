-- The hot rows, locked last and in one global order.
SELECT
    budget_number, scope, window_start, window_end, per_values,
    spent, held, presumed, overrun, highest_limit, version, overrun_causes, carried
FROM budget_window
WHERE tenant_id = $1
    AND (budget_number, scope, window_start) IN (SELECT * FROM unnest($2::bigint[], $3::uuid[], $4::timestamptz[]))
ORDER BY budget_number, scope, window_start
FOR UPDATE
