-- Opens a reading: its moment, the tenant's erasures that it sees, its bound in time, plans made for the actual size of the arrays, and memory for sums of
-- many columns.
SELECT
    clock_timestamp() AS "now!",
    (SELECT erasures_version FROM tenant WHERE tenant_id = $2) AS erasures_version,
    set_config('statement_timeout', $1, true) AS "timeout!",
    set_config('plan_cache_mode', 'force_custom_plan', true) AS "plans!",
    set_config('work_mem', '32MB', true) AS "memory!"
