SELECT DISTINCT ON (counter.budget_number, counter.scope)
    counter.budget_number, counter.scope, counter.per_values, budget.definition
FROM budget_window AS counter
JOIN budget ON budget.tenant_id = counter.tenant_id AND budget.budget_number = counter.budget_number
WHERE counter.tenant_id = $1
    AND (counter.budget_number, counter.scope) IN (SELECT * FROM unnest($2::bigint[], $3::uuid[]))
ORDER BY counter.budget_number, counter.scope
