SELECT request_id, step, answer
FROM adjustment_request
WHERE tenant_id = $1 AND (request_id, step) > ($2, $3)
ORDER BY request_id, step
LIMIT $4
