SELECT alert_id, budget_number, scope, subject
FROM alert
WHERE tenant_id = $1 AND alert_id > $2
ORDER BY alert_id
LIMIT $3
