-- The next events by their ids, and which of them tell the name, or did so before they were corrected.
SELECT
    event.event_id AS "event_id!",
    CASE WHEN $4::boolean THEN event.user_id ELSE event.customer_id END IS NOT DISTINCT FROM $3::bigint
        OR EXISTS (
            SELECT FROM usage_adjustment_wide AS leg
            WHERE leg.tenant_id = $1 AND leg.event_id = event.event_id
                AND CASE WHEN $4 THEN leg.user_id ELSE leg.customer_id END = $3
        ) AS "concerned!"
FROM usage_event_wide AS event
WHERE event.tenant_id = $1 AND event.event_id > $2
ORDER BY event.event_id
LIMIT $5
