SELECT reservation_id, context, parts
FROM reservation
WHERE tenant_id = $1 AND reservation_id > $2 AND state = 1
ORDER BY reservation_id
LIMIT $3
FOR UPDATE
