-- Rows of which no event is left.
DELETE FROM session_usage
WHERE tenant_id = $1
    AND (session_id, descendants, shape_id, adjustment) IN (SELECT * FROM unnest($2::bigint[], $3::boolean[], $4::bigint[], $5::boolean[]))
