-- Which of these are there by now. No lock is taken: whoever holds one of them may wait for a counter that the asker holds.
SELECT reservation_id FROM reservation WHERE tenant_id = $1 AND reservation_id = ANY($2)
