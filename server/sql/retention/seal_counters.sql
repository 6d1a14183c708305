-- Adds charges ($2 budgets, $3 counters, $4 charge times, $5 amounts) to what is sealed of the windows that hold them.
INSERT INTO sealed_counter (tenant_id, budget_number, scope, window_start, window_end, per_values, spent)
SELECT
    $1, counter.budget_number, counter.scope, counter.window_start, counter.window_end, counter.per_values,
    sum(charge.amount)
FROM unnest($2::bigint[], $3::uuid[], $4::timestamptz[], $5::numeric[]) AS charge (budget_number, scope, at, amount)
JOIN budget_window AS counter
    ON counter.tenant_id = $1 AND counter.budget_number = charge.budget_number AND counter.scope = charge.scope
    AND counter.window_start <= charge.at AND counter.window_end > charge.at
GROUP BY 2, 3, 4, 5, 6
ON CONFLICT (tenant_id, budget_number, scope, window_start) DO UPDATE SET
    spent = sealed_counter.spent + excluded.spent
