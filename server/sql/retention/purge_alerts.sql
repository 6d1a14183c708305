-- Deletes up to $3 alerts from before $2, with what was left to deliver of them.
WITH gone AS (
    DELETE FROM alert
    WHERE tenant_id = $1 AND alert_id IN (
        SELECT alert_id FROM alert WHERE tenant_id = $1 AND create_time < $2 LIMIT $3
    )
    RETURNING alert_id
), undelivered AS (
    DELETE FROM alert_delivery WHERE tenant_id = $1 AND alert_id IN (SELECT alert_id FROM gone)
)
SELECT count(*) AS "alerts!" FROM gone
