UPDATE reservation SET context = erased.context, parts = erased.parts
FROM unnest($2::uuid[], $3::jsonb[], $4::jsonb[]) AS erased (reservation_id, context, parts)
WHERE reservation.tenant_id = $1 AND reservation.reservation_id = erased.reservation_id
