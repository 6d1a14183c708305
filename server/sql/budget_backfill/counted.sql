-- What was counted back and what batches counted meanwhile, by counter and window.
SELECT
    coalesce(back.scope, live.scope) AS "scope!",
    coalesce(back.window_start, live.window_start) AS "window_start!",
    coalesce(back.window_end, live.window_end) AS "window_end!",
    coalesce(back.per_values, live.per_values) AS "per_values!",
    coalesce(back.amount, 0) + coalesce(live.spent, 0) AS "spent!",
    live.version AS "version?"
FROM (SELECT * FROM budget_backfill_sum WHERE tenant_id = $1 AND budget_number = $2) AS back
FULL JOIN (SELECT * FROM budget_window WHERE tenant_id = $1 AND budget_number = $2) AS live
    ON live.scope = back.scope AND live.window_start = back.window_start
