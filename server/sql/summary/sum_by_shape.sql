-- Sums of rollup rows by output bucket and group: segments of time say which grain they are read at and which bucket they
-- belong to, shapes say which group. A shape that is not listed does not count.
-- What was first charged and what corrections changed are summed apart, the latter where $9 asks for it.
SELECT
    segment.output AS "output!",
    shape.group_number AS "group_number!",
    rollup.adjustment AS "adjustment!",
    sum(rollup.version)::bigint AS "version!",
    ROW(
        coalesce(sum(rollup.calls), 0)::bigint, coalesce(sum(rollup.attempts), 0)::bigint,
        coalesce(sum(rollup.errors), 0)::bigint, coalesce(sum(rollup.unpriced), 0)::bigint,
        coalesce(sum(rollup.estimated), 0)::bigint, coalesce(sum(rollup.response_cache_hits), 0)::bigint,
        coalesce(sum(rollup.input_tokens), 0)::bigint, coalesce(sum(rollup.output_tokens), 0)::bigint,
        sum(rollup.cache_read_tokens)::bigint, sum(rollup.cache_write_tokens)::bigint,
        sum(rollup.audio_in_tokens)::bigint, sum(rollup.image_in_tokens)::bigint,
        sum(rollup.video_in_tokens)::bigint, sum(rollup.cache_read_audio_tokens)::bigint,
        sum(rollup.cache_read_image_tokens)::bigint, sum(rollup.cache_read_video_tokens)::bigint,
        sum(rollup.tool_in_tokens)::bigint, sum(rollup.reasoning_tokens)::bigint,
        sum(rollup.audio_out_tokens)::bigint, sum(rollup.image_out_tokens)::bigint,
        sum(rollup.video_out_tokens)::bigint, sum(rollup.citation_tokens)::bigint,
        coalesce(sum(rollup.usd), 0)::numeric(28,12), coalesce(sum(rollup.memo_usd), 0)::numeric(28,12),
        sum(rollup.saved_usd)::numeric(28,12), sum(rollup.reported_usd)::numeric(28,12),
        sum(rollup.reported_own_usd)::numeric(28,12), sum(rollup.text_in_usd)::numeric(28,12),
        sum(rollup.text_out_usd)::numeric(28,12), sum(rollup.cache_read_usd)::numeric(28,12),
        sum(rollup.cache_write_usd)::numeric(28,12), sum(rollup.audio_in_usd)::numeric(28,12),
        sum(rollup.image_in_usd)::numeric(28,12), sum(rollup.video_in_usd)::numeric(28,12),
        sum(rollup.cache_read_audio_usd)::numeric(28,12), sum(rollup.cache_read_image_usd)::numeric(28,12),
        sum(rollup.cache_read_video_usd)::numeric(28,12), sum(rollup.tool_in_usd)::numeric(28,12),
        sum(rollup.reasoning_usd)::numeric(28,12), sum(rollup.audio_out_usd)::numeric(28,12),
        sum(rollup.image_out_usd)::numeric(28,12), sum(rollup.video_out_usd)::numeric(28,12),
        sum(rollup.citation_usd)::numeric(28,12), sum(rollup.units_usd)::numeric(28,12), min(rollup.first_time),
        max(rollup.last_time)
    )::measures AS "measures!: MeasuresRow"
FROM unnest($2::timestamptz[], $3::timestamptz[], $4::smallint[], $5::integer[])
    AS segment (since, until, grain, output)
CROSS JOIN LATERAL (
    SELECT *
    FROM usage_rollup
    WHERE tenant_id = $1 AND grain = segment.grain AND bucket >= segment.since AND bucket < segment.until
        AND ($9::boolean OR NOT adjustment)
    OFFSET 0 -- One range of the index per segment: a hash join on the grain would compare every row with every segment.
) AS rollup
JOIN unnest($6::bigint[], $7::integer[]) AS shape (shape_id, group_number) ON shape.shape_id = rollup.shape_id
GROUP BY segment.output, shape.group_number, rollup.adjustment
LIMIT $8
