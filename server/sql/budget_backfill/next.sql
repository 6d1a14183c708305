-- The next one that no other replica works on.
SELECT job.budget_number, job.recorded_before, job.counted_to, budget.definition, budget.counted_from
FROM budget_backfill AS job
JOIN budget ON budget.tenant_id = job.tenant_id AND budget.budget_number = job.budget_number
WHERE job.tenant_id = $1
ORDER BY job.budget_number
LIMIT 1
FOR UPDATE OF job SKIP LOCKED
