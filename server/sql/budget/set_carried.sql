-- What new counters inherited, before anything else moves them.
UPDATE budget_window SET
    carried = changed.carried,
    carried_from = changed.carried_from,
    highest_limit = changed.highest_limit
FROM unnest(
    $2::bigint[], $3::uuid[], $4::timestamptz[], $5::numeric[], $6::jsonb[], $7::numeric[]
) AS changed (budget_number, scope, window_start, carried, carried_from, highest_limit)
WHERE budget_window.tenant_id = $1
    AND budget_window.budget_number = changed.budget_number
    AND budget_window.scope = changed.scope
    AND budget_window.window_start = changed.window_start
