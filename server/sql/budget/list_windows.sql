-- Counters of active budgets whose window holds an instant, in the order of their keys.
SELECT
    counter.budget_number, counter.scope, counter.window_start, counter.window_end, counter.per_values,
    counter.spent, counter.held, counter.presumed, counter.overrun, counter.highest_limit, counter.version,
    counter.overrun_causes, counter.carried
FROM budget_window AS counter
WHERE counter.tenant_id = $1
    AND counter.budget_number = ANY($2)
    AND counter.window_start <= $3 AND counter.window_end > $3
    AND ($4::jsonb IS NULL OR counter.per_values @> $4)
    AND (counter.budget_number, counter.scope) > ($5, $6::uuid)
ORDER BY counter.budget_number, counter.scope
LIMIT $7
