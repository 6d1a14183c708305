-- Whoever stores windows of a budget ($3) of tenant_id $2 waits for whoever does: what another one stored is then seen.
SELECT pg_advisory_xact_lock($1::int, hashint8(place.budget_number # $2::int::bigint))
FROM (SELECT DISTINCT unnest($3::bigint[]) AS budget_number ORDER BY 1) AS place
