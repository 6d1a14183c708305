-- A reservation that another writer added meanwhile is not returned: the batch starts over and finds it.
INSERT INTO reservation (
    tenant_id, reservation_id, state, create_time, expire_time, end_time, sequence, fingerprint, context, parts,
    progress
)
SELECT
    $1, added.reservation_id, added.state, added.create_time, added.expire_time, added.end_time, added.sequence,
    added.fingerprint, added.context, added.parts, added.progress
FROM unnest(
    $2::uuid[], $3::smallint[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bigint[], $8::uuid[],
    $9::jsonb[], $10::jsonb[], $11::jsonb[]
) AS added (
    reservation_id, state, create_time, expire_time, end_time, sequence, fingerprint, context, parts, progress
)
ON CONFLICT DO NOTHING
RETURNING reservation_id
