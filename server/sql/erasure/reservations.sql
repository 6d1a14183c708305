-- The next reservations by their ids; $3: of this state alone.
SELECT reservation_id, context, parts
FROM reservation
WHERE tenant_id = $1 AND reservation_id > $2 AND ($3::smallint IS NULL OR state = $3)
ORDER BY reservation_id
LIMIT $4
FOR UPDATE
