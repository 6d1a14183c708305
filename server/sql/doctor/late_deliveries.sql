-- Alerts that the webhook should have been told of for longer than so many seconds, and those that were given up.
SELECT
    count(*) FILTER (WHERE next_attempt_time < clock_timestamp() - $1::bigint * interval '1 second') AS "late!",
    count(*) FILTER (WHERE next_attempt_time IS NULL AND deliver_time IS NULL) AS "given_up!"
FROM alert_delivery
WHERE tenant_id IN (SELECT tenant_id FROM tenant)
