-- From first rows and corrections alike: what a correction takes back is exactly what stood.
WITH locked AS (
    UPDATE usage_event SET metadata = NULL
    WHERE tenant_id = $1 AND event_id = ANY($2) AND metadata IS NOT NULL
)
UPDATE usage_adjustment SET metadata = NULL
WHERE tenant_id = $1 AND event_id = ANY($2) AND metadata IS NOT NULL
