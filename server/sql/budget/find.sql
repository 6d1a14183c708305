SELECT
    budget_number, budget_id, definition, counted_from, request_id, etag, create_time, update_time, delete_time,
    last_match_time,
    EXISTS (
        SELECT FROM budget_backfill AS job
        WHERE job.tenant_id = budget.tenant_id AND job.budget_number = budget.budget_number
    ) AS "backfilling!"
FROM budget
WHERE tenant_id = $1 AND budget_id = $2
