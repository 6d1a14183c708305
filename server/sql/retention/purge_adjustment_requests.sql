-- Deletes up to $3 answers to corrections from before $2.
DELETE FROM adjustment_request
WHERE tenant_id = $1 AND (request_id, step) IN (
    SELECT request_id, step FROM adjustment_request WHERE tenant_id = $1 AND create_time < $2 LIMIT $3
)
