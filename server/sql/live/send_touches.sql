-- Tells the other replicas which scopes were touched: one transaction, because each takes a lock that all share.
SELECT pg_notify('tollgate_touch', text) AS "sent: ()" FROM unnest($1::text[]) AS text
