-- The stored windows of a budget that meet a range of time, with their neighbours.
SELECT period_start, period_end FROM budget_period
WHERE tenant_id = $1 AND budget_number = $2
    AND period_start >= coalesce((
        SELECT max(period_start) FROM budget_period
        WHERE tenant_id = $1 AND budget_number = $2 AND period_start <= $3
    ), '-infinity')
    AND period_start <= coalesce((
        SELECT min(period_start) FROM budget_period
        WHERE tenant_id = $1 AND budget_number = $2 AND period_start > $4
    ), 'infinity')
