-- The same by user. $8 lists users ($9: all but these; NULL: all). Where $10, users are told apart, else all are user 0.
-- Where $11, only the listed pairs of group and user are told apart: the others of a group are user -1.
-- What was first charged and what corrections changed are summed apart, the latter where $15 asks for it.
SELECT
    counted.output AS "output!",
    counted.group_number AS "group_number!",
    counted.user_number AS "user_number!",
    counted.adjustment AS "adjustment!",
    sum(counted.version)::bigint AS "version!",
    ROW(
        coalesce(sum(counted.calls), 0)::bigint, coalesce(sum(counted.attempts), 0)::bigint,
        coalesce(sum(counted.errors), 0)::bigint, coalesce(sum(counted.unpriced), 0)::bigint,
        coalesce(sum(counted.estimated), 0)::bigint, coalesce(sum(counted.response_cache_hits), 0)::bigint,
        coalesce(sum(counted.input_tokens), 0)::bigint, coalesce(sum(counted.output_tokens), 0)::bigint,
        sum(counted.cache_read_tokens)::bigint, sum(counted.cache_write_tokens)::bigint,
        sum(counted.audio_in_tokens)::bigint, sum(counted.image_in_tokens)::bigint,
        sum(counted.video_in_tokens)::bigint, sum(counted.cache_read_audio_tokens)::bigint,
        sum(counted.cache_read_image_tokens)::bigint, sum(counted.cache_read_video_tokens)::bigint,
        sum(counted.tool_in_tokens)::bigint, sum(counted.reasoning_tokens)::bigint,
        sum(counted.audio_out_tokens)::bigint, sum(counted.image_out_tokens)::bigint,
        sum(counted.video_out_tokens)::bigint, sum(counted.citation_tokens)::bigint,
        coalesce(sum(counted.usd), 0)::numeric(28,12), coalesce(sum(counted.memo_usd), 0)::numeric(28,12),
        sum(counted.saved_usd)::numeric(28,12), sum(counted.reported_usd)::numeric(28,12),
        sum(counted.reported_own_usd)::numeric(28,12), sum(counted.text_in_usd)::numeric(28,12),
        sum(counted.text_out_usd)::numeric(28,12), sum(counted.cache_read_usd)::numeric(28,12),
        sum(counted.cache_write_usd)::numeric(28,12), sum(counted.audio_in_usd)::numeric(28,12),
        sum(counted.image_in_usd)::numeric(28,12), sum(counted.video_in_usd)::numeric(28,12),
        sum(counted.cache_read_audio_usd)::numeric(28,12), sum(counted.cache_read_image_usd)::numeric(28,12),
        sum(counted.cache_read_video_usd)::numeric(28,12), sum(counted.tool_in_usd)::numeric(28,12),
        sum(counted.reasoning_usd)::numeric(28,12), sum(counted.audio_out_usd)::numeric(28,12),
        sum(counted.image_out_usd)::numeric(28,12), sum(counted.video_out_usd)::numeric(28,12),
        sum(counted.citation_usd)::numeric(28,12), sum(counted.units_usd)::numeric(28,12), min(counted.first_time),
        max(counted.last_time)
    )::measures AS "measures!: MeasuresRow"
FROM (
    SELECT
        segment.output,
        shape.group_number,
        CASE
            WHEN NOT $10::boolean THEN 0
            WHEN $11::boolean AND chosen.user_id IS NULL THEN -1
            ELSE rollup.user_id
        END AS user_number,
        rollup.*
    FROM unnest($2::timestamptz[], $3::timestamptz[], $4::smallint[], $5::integer[])
        AS segment (since, until, grain, output)
    CROSS JOIN LATERAL (
        SELECT *
        FROM user_rollup
        WHERE tenant_id = $1 AND grain = segment.grain AND bucket >= segment.since AND bucket < segment.until
            AND ($15::boolean OR NOT adjustment)
            AND CASE WHEN $9::boolean THEN user_id <> ALL($8) ELSE $8::bigint[] IS NULL OR user_id = ANY($8) END
        OFFSET 0 -- One range of the index per segment, as for shapes.
    ) AS rollup
    JOIN unnest($6::bigint[], $7::integer[]) AS shape (shape_id, group_number) ON shape.shape_id = rollup.shape_id
    LEFT JOIN unnest($12::integer[], $13::bigint[]) AS chosen (group_number, user_id)
        ON chosen.group_number = shape.group_number AND chosen.user_id = rollup.user_id
) AS counted
GROUP BY counted.output, counted.group_number, counted.user_number, counted.adjustment
LIMIT $14
