-- Every row, as it is stored.
SELECT
    total.grain, total.bucket, total.user_id, total.shape_id::bigint AS "shape_id!", total.adjustment,
    total.version::bigint AS "version!",
    ROW(
        total.calls, total.attempts, total.errors, total.unpriced, total.estimated, total.response_cache_hits,
        total.input_tokens, total.output_tokens, total.cache_read_tokens, total.cache_write_tokens,
        total.audio_in_tokens, total.image_in_tokens, total.video_in_tokens, total.cache_read_audio_tokens,
        total.cache_read_image_tokens, total.cache_read_video_tokens, total.tool_in_tokens,
        total.reasoning_tokens, total.audio_out_tokens, total.image_out_tokens, total.video_out_tokens,
        total.citation_tokens, total.usd, total.memo_usd, total.saved_usd, total.reported_usd,
        total.reported_own_usd, total.text_in_usd, total.text_out_usd, total.cache_read_usd,
        total.cache_write_usd, total.audio_in_usd, total.image_in_usd, total.video_in_usd,
        total.cache_read_audio_usd, total.cache_read_image_usd, total.cache_read_video_usd, total.tool_in_usd,
        total.reasoning_usd, total.audio_out_usd, total.image_out_usd, total.video_out_usd, total.citation_usd,
        total.units_usd, total.first_time, total.last_time, total.partial, total.free
    )::measures AS "measures!: MeasuresRow"
FROM user_rollup AS total
WHERE total.tenant_id = $1
