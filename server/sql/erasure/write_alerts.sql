UPDATE alert SET subject = erased.subject, scope = erased.scope
FROM unnest($2::uuid[], $3::jsonb[], $4::uuid[]) AS erased (alert_id, subject, scope)
WHERE alert.tenant_id = $1 AND alert.alert_id = erased.alert_id
