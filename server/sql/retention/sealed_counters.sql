-- Everything that is sealed of the counters of a budget.
SELECT scope, window_start, window_end, per_values, spent
FROM sealed_counter
WHERE tenant_id = $1 AND budget_number = $2
