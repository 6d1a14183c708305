-- The stored windows of a budget that meet a range of time, with their neighbours.
-- Row-level security trusts no coalesce outside of the subqueries, and would look for no period by it.
SELECT period_start, period_end FROM budget_period
WHERE tenant_id = $1 AND budget_number = $2
    AND period_start >= (
        SELECT coalesce(max(period_start), '-infinity') FROM budget_period
        WHERE tenant_id = $1 AND budget_number = $2 AND period_start <= $3
    )
    AND period_start <= (
        SELECT coalesce(min(period_start), 'infinity') FROM budget_period
        WHERE tenant_id = $1 AND budget_number = $2 AND period_start > $4
    )
