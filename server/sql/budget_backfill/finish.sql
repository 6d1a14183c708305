WITH ended AS (
    DELETE FROM budget_backfill WHERE tenant_id = $1 AND budget_number = $2
)
DELETE FROM budget_backfill_sum WHERE tenant_id = $1 AND budget_number = $2
