SELECT count(*) AS "running!" FROM erasure WHERE tenant_id = $1 AND done_time IS NULL
