-- The database's clock, which alone decides windows and expiry, and the version of the tenant's budgets.
SELECT clock_timestamp() AS "now!", budgets_version FROM tenant WHERE tenant_id = $1
