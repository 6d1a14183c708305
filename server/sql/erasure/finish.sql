-- Without the key nobody can tell whose the pseudonym is.
UPDATE erasure SET done_time = clock_timestamp(), key = NULL, scopes = '[]', position = NULL
WHERE tenant_id = $1 AND erasure_id = $2
