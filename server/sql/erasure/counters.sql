-- Counters of these budgets with this value among theirs, wherever counters are kept.
SELECT DISTINCT counter.budget_number AS "budget_number!", counter.scope AS "scope!", counter.per_values AS "per_values!"
FROM (
    SELECT budget_number, scope, per_values FROM budget_window
    WHERE tenant_id = $1 AND budget_number = ANY($2) AND per_values @> $3
    UNION ALL
    SELECT budget_number, scope, per_values FROM sealed_counter
    WHERE tenant_id = $1 AND budget_number = ANY($2) AND per_values @> $3
    UNION ALL
    SELECT budget_number, scope, per_values FROM budget_override
    WHERE tenant_id = $1 AND budget_number = ANY($2) AND per_values @> $3
) AS counter
