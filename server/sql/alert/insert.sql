-- What was told before is left out: each occasion is told once.
INSERT INTO alert (
    tenant_id, alert_id, position, occasion, kind, severity, create_time, budget_number, scope, window_start, event_id,
    reservation_id, subject
)
SELECT
    $1, added.alert_id, added.position, added.occasion, added.kind, added.severity, $2, added.budget_number, added.scope,
    added.window_start, added.event_id, added.reservation_id, added.subject
FROM unnest(
    $3::uuid[], $4::bigint[], $5::uuid[], $6::smallint[], $7::smallint[], $8::bigint[], $9::uuid[], $10::timestamptz[],
    $11::uuid[], $12::uuid[], $13::jsonb[]
) AS added (
    alert_id, position, occasion, kind, severity, budget_number, scope, window_start, event_id, reservation_id, subject
)
ON CONFLICT (tenant_id, occasion) DO NOTHING
RETURNING alert_id
