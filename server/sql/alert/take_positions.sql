-- Takes the next positions. Whoever raises alerts waits here for whoever raised some before: positions rise with the commits.
INSERT INTO alert_position (tenant_id, last) VALUES ($1, $2)
ON CONFLICT (tenant_id) DO UPDATE SET last = alert_position.last + excluded.last
RETURNING last
