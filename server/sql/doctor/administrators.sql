-- Working keys by what they may do: any, and everything ($1: the permission of administration). Of every tenant_id.
SELECT
    count(*) AS "keys!",
    count(*) FILTER (WHERE $1 = ANY(permissions)) AS "administrators!",
    count(*) FILTER (WHERE expire_time < clock_timestamp() + interval '7 days') AS "expiring!"
FROM api_key
WHERE tenant_id > 0 AND revoke_time IS NULL AND (expire_time IS NULL OR expire_time > clock_timestamp())
