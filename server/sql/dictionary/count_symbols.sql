-- How many values these dimensions have, each counted up to $3.
SELECT wanted.dimension AS "dimension!", counted.count AS "count!"
FROM unnest($2::smallint[]) AS wanted (dimension)
CROSS JOIN LATERAL (
    SELECT count(*) AS count
    FROM (SELECT 1 FROM symbol WHERE tenant_id = $1 AND dimension = wanted.dimension LIMIT $3) AS few
) AS counted
