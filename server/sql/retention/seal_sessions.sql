-- Adds to what is sealed. Keys come sorted.
INSERT INTO sealed_session (tenant_id, session_id, descendants, shape_id, adjustment, sums)
SELECT $1, unnest($2::bigint[]), unnest($3::boolean[]), unnest($4::bigint[]), unnest($5::boolean[]), unnest($6::measures[])
ON CONFLICT (tenant_id, session_id, descendants, shape_id, adjustment) DO UPDATE SET
    sums = measures_plus(sealed_session.sums, excluded.sums)
