UPDATE reservation SET
    state = changed.state,
    expire_time = changed.expire_time,
    end_time = changed.end_time,
    sequence = changed.sequence,
    context = changed.context,
    parts = changed.parts,
    progress = changed.progress
FROM unnest(
    $2::uuid[], $3::smallint[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::jsonb[], $8::jsonb[],
    $9::jsonb[]
) AS changed (reservation_id, state, expire_time, end_time, sequence, context, parts, progress)
WHERE reservation.tenant_id = $1 AND reservation.reservation_id = changed.reservation_id
