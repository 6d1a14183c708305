UPDATE budget SET last_match_time = greatest(budget.last_match_time, matched.time)
FROM unnest($2::bigint[], $3::timestamptz[]) AS matched (budget_number, time)
WHERE budget.tenant_id = $1 AND budget.budget_number = matched.budget_number
