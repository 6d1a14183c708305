SELECT reservation_id FROM reservation WHERE tenant_id = $1 AND reservation_id = ANY($2) AND state = 1
