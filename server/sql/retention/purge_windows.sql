-- Deletes up to $3 counters of windows that ended before $2, hold and presume nothing, and that no other carries from. What was
-- sealed of them goes with them.
WITH gone AS (
    DELETE FROM budget_window
    WHERE tenant_id = $1 AND (budget_number, scope, window_start) IN (
        SELECT ended.budget_number, ended.scope, ended.window_start
        FROM budget_window AS ended
        LEFT JOIN sealed_counter AS sealed USING (tenant_id, budget_number, scope, window_start)
        WHERE ended.tenant_id = $1 AND ended.window_end < $2 AND ended.held = 0 AND ended.presumed = 0
            -- None of its events is left: what is late, or corrected, is sealed later.
            AND ended.spent = coalesce(sealed.spent, 0)
            AND NOT EXISTS (
                SELECT FROM budget_window AS heir
                WHERE heir.tenant_id = $1 AND heir.budget_number = ended.budget_number AND heir.scope = ended.scope
                    AND heir.window_start > ended.window_start AND heir.carried_from IS NOT NULL
            )
        LIMIT $3
    )
    RETURNING budget_number, scope, window_start
), unsealed AS (
    DELETE FROM sealed_counter
    WHERE tenant_id = $1 AND (budget_number, scope, window_start) IN (SELECT budget_number, scope, window_start FROM gone)
)
SELECT count(*) AS "counters!" FROM gone
