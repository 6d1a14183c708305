-- Totals against the sum of their own costs by class. Of the sessions $2, and of buckets in [$3, $4) with their days, where they
-- are given; names at most $5 rows.
WITH compared AS (
    SELECT
        'session_usage' AS name, total.descendants, NULL::smallint AS grain, NULL::timestamptz AS bucket,
        total.session_id AS number, total.shape_id, total.adjustment,
        total.usd,
        coalesce(total.text_in_usd, 0) + coalesce(total.text_out_usd, 0) + coalesce(total.cache_read_usd, 0) +
        coalesce(total.cache_write_usd, 0) + coalesce(total.audio_in_usd, 0) + coalesce(total.image_in_usd, 0) +
        coalesce(total.video_in_usd, 0) + coalesce(total.cache_read_audio_usd, 0) +
        coalesce(total.cache_read_image_usd, 0) + coalesce(total.cache_read_video_usd, 0) +
        coalesce(total.tool_in_usd, 0) + coalesce(total.reasoning_usd, 0) + coalesce(total.audio_out_usd, 0) +
        coalesce(total.image_out_usd, 0) + coalesce(total.video_out_usd, 0) + coalesce(total.citation_usd, 0) +
        coalesce(total.units_usd, 0) AS classes
    FROM session_usage AS total
    WHERE total.tenant_id = $1 AND ($2::bigint[] IS NULL OR total.session_id = ANY($2))
    UNION ALL
    SELECT
        'usage_rollup' AS name, false, total.grain, total.bucket, NULL, total.shape_id, total.adjustment,
        total.usd,
        coalesce(total.text_in_usd, 0) + coalesce(total.text_out_usd, 0) + coalesce(total.cache_read_usd, 0) +
        coalesce(total.cache_write_usd, 0) + coalesce(total.audio_in_usd, 0) + coalesce(total.image_in_usd, 0) +
        coalesce(total.video_in_usd, 0) + coalesce(total.cache_read_audio_usd, 0) +
        coalesce(total.cache_read_image_usd, 0) + coalesce(total.cache_read_video_usd, 0) +
        coalesce(total.tool_in_usd, 0) + coalesce(total.reasoning_usd, 0) + coalesce(total.audio_out_usd, 0) +
        coalesce(total.image_out_usd, 0) + coalesce(total.video_out_usd, 0) + coalesce(total.citation_usd, 0) +
        coalesce(total.units_usd, 0) AS classes
    FROM usage_rollup AS total
    WHERE total.tenant_id = $1
        AND ($3::timestamptz IS NULL OR (
            total.bucket >= date_bin('1 day', $3, '2000-01-01 00:00:00+00') AND total.bucket < $4::timestamptz
        ))
        AND total.grain IN (1, 2)
    UNION ALL
    SELECT
        'user_rollup' AS name, false, total.grain, total.bucket, total.user_id, total.shape_id, total.adjustment,
        total.usd,
        coalesce(total.text_in_usd, 0) + coalesce(total.text_out_usd, 0) + coalesce(total.cache_read_usd, 0) +
        coalesce(total.cache_write_usd, 0) + coalesce(total.audio_in_usd, 0) + coalesce(total.image_in_usd, 0) +
        coalesce(total.video_in_usd, 0) + coalesce(total.cache_read_audio_usd, 0) +
        coalesce(total.cache_read_image_usd, 0) + coalesce(total.cache_read_video_usd, 0) +
        coalesce(total.tool_in_usd, 0) + coalesce(total.reasoning_usd, 0) + coalesce(total.audio_out_usd, 0) +
        coalesce(total.image_out_usd, 0) + coalesce(total.video_out_usd, 0) + coalesce(total.citation_usd, 0) +
        coalesce(total.units_usd, 0) AS classes
    FROM user_rollup AS total
    WHERE total.tenant_id = $1
        AND ($3::timestamptz IS NULL OR (
            total.bucket >= date_bin('1 day', $3, '2000-01-01 00:00:00+00') AND total.bucket < $4::timestamptz
        ))
        AND total.grain IN (1, 2)
), drifting AS (
    SELECT * FROM compared WHERE usd <> classes
)
SELECT
    count(*) AS "rows!",
    (SELECT count(*) FROM drifting) AS "drifting!",
    coalesce(sum(classes), 0) AS "classes!",
    coalesce(sum(usd), 0) AS "usd!",
    coalesce(sum(abs(usd - classes)), 0) AS "usd_drift!",
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', concat_ws(
                ', ', example.name, CASE WHEN example.descendants THEN 'descendants' END, 'grain ' || example.grain,
                'bucket ' || (to_jsonb(example.bucket) #>> '{}'), 'number ' || example.number,
                'shape ' || example.shape_id, CASE WHEN example.adjustment THEN 'corrections' END
            ),
            'differences', jsonb_build_array(jsonb_build_object(
                'figure', 'usd', 'ledger', example.classes::text, 'stored', example.usd::text
            ))
        )), '[]')
        FROM (SELECT * FROM drifting ORDER BY name, bucket, number, shape_id LIMIT $5) AS example
    ) AS "examples!"
FROM compared
