-- Counters that carry something, or say from what, beside the window that they took it over from as it stands now.
SELECT
    budget.budget_id, counter.per_values, counter.window_start, counter.carried, counter.carried_from,
    before.version AS "before_version?", before.spent AS "before_spent?", before.held AS "before_held?",
    before.presumed AS "before_presumed?", before.highest_limit AS "before_highest_limit?",
    before.carried AS "before_carried?"
FROM budget_window AS counter
JOIN budget ON budget.tenant_id = counter.tenant_id AND budget.budget_number = counter.budget_number
LEFT JOIN budget_window AS before
    ON before.tenant_id = counter.tenant_id AND before.budget_number = counter.budget_number
    AND before.scope = counter.scope AND before.window_start < counter.window_start
    AND before.window_start = (counter.carried_from ->> 'window_start')::timestamptz
WHERE counter.tenant_id = $1 AND budget.delete_time IS NULL
    AND NOT EXISTS (
        SELECT FROM budget_backfill AS job WHERE job.tenant_id = $1 AND job.budget_number = budget.budget_number
    )
    AND (counter.carried <> 0 OR counter.carried_from IS NOT NULL)
    AND ($2::timestamptz IS NULL OR (counter.window_end > $2 AND counter.window_start < $3::timestamptz))
ORDER BY counter.budget_number, counter.scope, counter.window_start
