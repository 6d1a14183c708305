-- Each by its whole key, whatever the planner believes of the table's size.
SELECT symbol.symbol_id, symbol.dimension, symbol.value
FROM unnest($2::smallint[], $3::text[]) AS wanted (dimension, value)
CROSS JOIN LATERAL (
    SELECT symbol_id, dimension, value
    FROM symbol
    WHERE tenant_id = $1 AND dimension = wanted.dimension AND value = wanted.value
    LIMIT 1
) AS symbol
