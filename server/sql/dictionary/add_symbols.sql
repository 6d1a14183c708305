-- Values come sorted: two writers that add the same ones wait for each other in one order.
INSERT INTO symbol (tenant_id, dimension, value)
SELECT $1, wanted.dimension, wanted.value
FROM unnest($2::smallint[], $3::text[]) AS wanted (dimension, value)
ON CONFLICT DO NOTHING
RETURNING symbol_id, dimension, value
