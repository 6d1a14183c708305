-- Deletes up to $3 windows of budgets that ended before $2 and in which no counter is left.
DELETE FROM budget_period
WHERE tenant_id = $1 AND (budget_number, period_start) IN (
    SELECT ended.budget_number, ended.period_start
    FROM budget_period AS ended
    WHERE ended.tenant_id = $1 AND ended.period_end < $2
        AND NOT EXISTS (
            SELECT FROM budget_window AS counter
            WHERE counter.tenant_id = $1 AND counter.budget_number = ended.budget_number
                AND counter.window_start = ended.period_start
        )
    LIMIT $3
)
