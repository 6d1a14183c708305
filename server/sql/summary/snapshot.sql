-- Opens a reading: its moment, its bound in time, and plans made for the actual size of the arrays.
SELECT
    clock_timestamp() AS "now!",
    set_config('statement_timeout', $1, true) AS "timeout!",
    set_config('plan_cache_mode', 'force_custom_plan', true) AS "plans!"
