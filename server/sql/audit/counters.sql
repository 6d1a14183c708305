-- Every counter of these budgets, of windows that meet [$3, $4), where they are given; with what is sealed of its spend.
SELECT
    counter.budget_number, counter.scope, counter.window_start, counter.window_end, counter.per_values, counter.spent,
    coalesce(sealed.spent, 0) AS "sealed!"
FROM budget_window AS counter
LEFT JOIN sealed_counter AS sealed
    ON sealed.tenant_id = counter.tenant_id AND sealed.budget_number = counter.budget_number
    AND sealed.scope = counter.scope AND sealed.window_start = counter.window_start
WHERE counter.tenant_id = $1 AND counter.budget_number = ANY($2)
    AND ($3::timestamptz IS NULL OR (counter.window_end > $3 AND counter.window_start < $4::timestamptz))
