-- Whether this database takes writes, its clock, and at which version the budgets and erasures of every tenant_id stand.
SELECT
    tenant_id, budgets_version, erasures_version, clock_timestamp() AS "now!",
    current_setting('transaction_read_only') = 'off' AS "writable!"
FROM tenant
