-- The tenant's row orders changes of its prices: each sees what the one before it did.
UPDATE tenant SET prices_version = prices_version + 1 WHERE tenant_id = $1
RETURNING prices_version, clock_timestamp() AS "now!"
