-- A request that another writer answered meanwhile is not returned: the batch starts over and finds it.
INSERT INTO adjustment_request (tenant_id, request_id, step, digest, answer, create_time)
SELECT $1, added.request_id, added.step, added.digest, added.answer, $6
FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::jsonb[]) AS added (request_id, step, digest, answer)
ON CONFLICT DO NOTHING
RETURNING request_id
