-- The tenant's shapes that a reader has not seen yet. Ids can commit out of order, so a reader asks from a little
-- below the highest that it knows.
SELECT shape_id, content FROM shape WHERE tenant_id = $1 AND shape_id > $2 ORDER BY shape_id LIMIT $3
