-- How many events these sessions have.
SELECT coalesce(sum(attempts), 0)::bigint AS "events!"
FROM session_usage
WHERE tenant_id = $1 AND session_id = ANY($2) AND NOT descendants AND NOT adjustment
