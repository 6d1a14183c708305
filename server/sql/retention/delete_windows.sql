-- Deletes the counters with these keys ($2 budgets, $3 counters, $4 starts) that still hold nothing and have no event left, with what
-- was sealed of them.
WITH gone AS (
    DELETE FROM budget_window AS ended
    USING unnest($2::bigint[], $3::uuid[], $4::timestamptz[]) AS wanted (budget_number, scope, window_start)
    WHERE ended.tenant_id = $1 AND ended.budget_number = wanted.budget_number AND ended.scope = wanted.scope
        AND ended.window_start = wanted.window_start AND ended.held = 0 AND ended.presumed = 0
        AND ended.spent = coalesce((
            SELECT sealed.spent FROM sealed_counter AS sealed
            WHERE sealed.tenant_id = $1 AND sealed.budget_number = ended.budget_number
                AND sealed.scope = ended.scope AND sealed.window_start = ended.window_start
        ), 0)
    RETURNING ended.budget_number, ended.scope, ended.window_start
), unsealed AS (
    DELETE FROM sealed_counter
    WHERE tenant_id = $1 AND (budget_number, scope, window_start) IN (SELECT budget_number, scope, window_start FROM gone)
)
SELECT count(*) AS "counters!" FROM gone
