-- Everything that is sealed of sessions.
SELECT session_id, descendants, shape_id, adjustment, sums AS "sums: MeasuresRow"
FROM sealed_session
WHERE tenant_id = $1
