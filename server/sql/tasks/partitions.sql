SELECT child.relname::text AS "name!"
FROM pg_inherits
JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
WHERE pg_inherits.inhparent = 'usage_event'::regclass
