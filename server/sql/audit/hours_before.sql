-- The hours of the $3 newest events that start before $2, from an index that has the hours in order: how many events there
-- are, the newest hour, and the oldest one, of which some may be left out.
SELECT count(*) AS "events!", min(hour) AS oldest, max(hour) AS newest
FROM (
    SELECT date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') AS hour
    FROM usage_event
    WHERE tenant_id = $1
        AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $2 AND start_time < $2
    ORDER BY date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') DESC
    LIMIT $3
) AS newest
