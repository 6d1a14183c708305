-- The database's clock, which alone decides windows and expiry, and the versions of the tenant's budgets, prices and erasures.
SELECT clock_timestamp() AS "now!", budgets_version, prices_version, erasures_version
FROM tenant
WHERE tenant_id = $1
