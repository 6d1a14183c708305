-- Events that tell the name now or did so before they were corrected. $2: the name's number; $3: as a user, else as a customer.
SELECT
    (
        SELECT count(*) FROM usage_event_wide
        WHERE tenant_id = $1 AND CASE WHEN $3::boolean THEN user_id ELSE customer_id END = $2
    )
    + (
        SELECT count(DISTINCT leg.event_id) FROM usage_adjustment_wide AS leg
        WHERE leg.tenant_id = $1 AND CASE WHEN $3 THEN leg.user_id ELSE leg.customer_id END = $2
            AND NOT EXISTS (
                SELECT FROM usage_event_wide AS event
                WHERE event.tenant_id = $1 AND event.event_id = leg.event_id
                    AND CASE WHEN $3 THEN event.user_id ELSE event.customer_id END = $2
            )
    ) AS "events!"
