-- The quarter hour of the newest event of the hour $2 that starts before $3.
SELECT date_bin('15 minutes', max(start_time), '2000-01-01 00:00:00+00') AS quarter
FROM usage_event
WHERE tenant_id = $1
    AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') = $2 AND start_time < $3
