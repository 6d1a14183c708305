-- Counters that were just added, with what was counted for them.
UPDATE budget_window SET
    spent = changed.spent,
    held = changed.held,
    presumed = changed.presumed,
    overrun = changed.overrun,
    highest_limit = changed.highest_limit,
    overrun_causes = changed.overrun_causes,
    version = budget_window.version + 1
FROM unnest(
    $2::bigint[], $3::uuid[], $4::timestamptz[], $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[],
    $10::jsonb[]
) AS changed (
    budget_number, scope, window_start, spent, held, presumed, overrun, highest_limit, overrun_causes
)
WHERE budget_window.tenant_id = $1 AND budget_window.budget_number = changed.budget_number
    AND budget_window.scope = changed.scope AND budget_window.window_start = changed.window_start
