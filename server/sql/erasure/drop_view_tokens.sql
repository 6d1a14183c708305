-- Tokens whose scopes hold these bytes: that of somebody else may be among them, and is asked for again.
DELETE FROM view_token
WHERE tenant_id = $1 AND EXISTS (SELECT FROM unnest(scopes) AS scope WHERE position($2::bytea IN scope) > 0)
