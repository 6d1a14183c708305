SELECT budget_number, definition, counted_from FROM budget
WHERE tenant_id = $1 AND delete_time IS NULL
ORDER BY budget_number
