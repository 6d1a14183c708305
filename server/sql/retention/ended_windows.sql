-- Up to $3 counters of windows that ended before $2, hold and presume nothing, and that no other carries from. None of their events
-- is left: what is late, or corrected, is sealed later.
SELECT ended.budget_number, ended.scope, ended.window_start
FROM budget_window AS ended
LEFT JOIN sealed_counter AS sealed USING (tenant_id, budget_number, scope, window_start)
WHERE ended.tenant_id = $1 AND ended.window_end < $2 AND ended.held = 0 AND ended.presumed = 0
    AND ended.spent = coalesce(sealed.spent, 0)
    AND NOT EXISTS (
        SELECT FROM budget_window AS heir
        WHERE heir.tenant_id = $1 AND heir.budget_number = ended.budget_number AND heir.scope = ended.scope
            AND heir.window_start > ended.window_start AND heir.carried_from IS NOT NULL
    )
LIMIT $3
