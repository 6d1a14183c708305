SELECT
    budget_number, definition, counted_from,
    EXISTS (
        SELECT FROM budget_backfill AS job
        WHERE job.tenant_id = budget.tenant_id AND job.budget_number = budget.budget_number
    ) AS "backfilling!"
FROM budget
WHERE tenant_id = $1 AND delete_time IS NULL
ORDER BY budget_number
