-- What is left of events that are older than the retention: their sums, so that totals, rollups and counters can still be
-- derived again and compared after the events are gone.

-- Sums of sums. NULL = never reported, as in measures.
CREATE FUNCTION measures_plus(a measures, b measures) RETURNS measures LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ROW(
        coalesce((a).calls + (b).calls, (a).calls, (b).calls),
        coalesce((a).attempts + (b).attempts, (a).attempts, (b).attempts),
        coalesce((a).errors + (b).errors, (a).errors, (b).errors),
        coalesce((a).unpriced + (b).unpriced, (a).unpriced, (b).unpriced),
        coalesce((a).estimated + (b).estimated, (a).estimated, (b).estimated),
        coalesce((a).response_cache_hits + (b).response_cache_hits, (a).response_cache_hits, (b).response_cache_hits),
        coalesce((a).input_tokens + (b).input_tokens, (a).input_tokens, (b).input_tokens),
        coalesce((a).output_tokens + (b).output_tokens, (a).output_tokens, (b).output_tokens),
        coalesce((a).cache_read_tokens + (b).cache_read_tokens, (a).cache_read_tokens, (b).cache_read_tokens),
        coalesce((a).cache_write_tokens + (b).cache_write_tokens, (a).cache_write_tokens, (b).cache_write_tokens),
        coalesce((a).audio_in_tokens + (b).audio_in_tokens, (a).audio_in_tokens, (b).audio_in_tokens),
        coalesce((a).image_in_tokens + (b).image_in_tokens, (a).image_in_tokens, (b).image_in_tokens),
        coalesce((a).video_in_tokens + (b).video_in_tokens, (a).video_in_tokens, (b).video_in_tokens),
        coalesce((a).cache_read_audio_tokens + (b).cache_read_audio_tokens, (a).cache_read_audio_tokens, (b).cache_read_audio_tokens),
        coalesce((a).cache_read_image_tokens + (b).cache_read_image_tokens, (a).cache_read_image_tokens, (b).cache_read_image_tokens),
        coalesce((a).cache_read_video_tokens + (b).cache_read_video_tokens, (a).cache_read_video_tokens, (b).cache_read_video_tokens),
        coalesce((a).tool_in_tokens + (b).tool_in_tokens, (a).tool_in_tokens, (b).tool_in_tokens),
        coalesce((a).reasoning_tokens + (b).reasoning_tokens, (a).reasoning_tokens, (b).reasoning_tokens),
        coalesce((a).audio_out_tokens + (b).audio_out_tokens, (a).audio_out_tokens, (b).audio_out_tokens),
        coalesce((a).image_out_tokens + (b).image_out_tokens, (a).image_out_tokens, (b).image_out_tokens),
        coalesce((a).video_out_tokens + (b).video_out_tokens, (a).video_out_tokens, (b).video_out_tokens),
        coalesce((a).citation_tokens + (b).citation_tokens, (a).citation_tokens, (b).citation_tokens),
        coalesce((a).usd + (b).usd, (a).usd, (b).usd),
        coalesce((a).memo_usd + (b).memo_usd, (a).memo_usd, (b).memo_usd),
        coalesce((a).saved_usd + (b).saved_usd, (a).saved_usd, (b).saved_usd),
        coalesce((a).reported_usd + (b).reported_usd, (a).reported_usd, (b).reported_usd),
        coalesce((a).reported_own_usd + (b).reported_own_usd, (a).reported_own_usd, (b).reported_own_usd),
        coalesce((a).text_in_usd + (b).text_in_usd, (a).text_in_usd, (b).text_in_usd),
        coalesce((a).text_out_usd + (b).text_out_usd, (a).text_out_usd, (b).text_out_usd),
        coalesce((a).cache_read_usd + (b).cache_read_usd, (a).cache_read_usd, (b).cache_read_usd),
        coalesce((a).cache_write_usd + (b).cache_write_usd, (a).cache_write_usd, (b).cache_write_usd),
        coalesce((a).audio_in_usd + (b).audio_in_usd, (a).audio_in_usd, (b).audio_in_usd),
        coalesce((a).image_in_usd + (b).image_in_usd, (a).image_in_usd, (b).image_in_usd),
        coalesce((a).video_in_usd + (b).video_in_usd, (a).video_in_usd, (b).video_in_usd),
        coalesce((a).cache_read_audio_usd + (b).cache_read_audio_usd, (a).cache_read_audio_usd, (b).cache_read_audio_usd),
        coalesce((a).cache_read_image_usd + (b).cache_read_image_usd, (a).cache_read_image_usd, (b).cache_read_image_usd),
        coalesce((a).cache_read_video_usd + (b).cache_read_video_usd, (a).cache_read_video_usd, (b).cache_read_video_usd),
        coalesce((a).tool_in_usd + (b).tool_in_usd, (a).tool_in_usd, (b).tool_in_usd),
        coalesce((a).reasoning_usd + (b).reasoning_usd, (a).reasoning_usd, (b).reasoning_usd),
        coalesce((a).audio_out_usd + (b).audio_out_usd, (a).audio_out_usd, (b).audio_out_usd),
        coalesce((a).image_out_usd + (b).image_out_usd, (a).image_out_usd, (b).image_out_usd),
        coalesce((a).video_out_usd + (b).video_out_usd, (a).video_out_usd, (b).video_out_usd),
        coalesce((a).citation_usd + (b).citation_usd, (a).citation_usd, (b).citation_usd),
        coalesce((a).units_usd + (b).units_usd, (a).units_usd, (b).units_usd),
        least((a).first_time, (b).first_time),
        greatest((a).last_time, (b).last_time),
        coalesce((a).partial + (b).partial, (a).partial, (b).partial),
        coalesce((a).free + (b).free, (a).free, (b).free)
    )::measures
$$;

-- The sums that rows of events tell: costs by class follow from price sheets.
CREATE FUNCTION measures_of_rows(a measures) RETURNS measures LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ROW(
        (a).calls, (a).attempts, (a).errors, (a).unpriced, (a).estimated, (a).response_cache_hits, (a).input_tokens,
        (a).output_tokens, (a).cache_read_tokens, (a).cache_write_tokens, (a).audio_in_tokens, (a).image_in_tokens,
        (a).video_in_tokens, (a).cache_read_audio_tokens, (a).cache_read_image_tokens, (a).cache_read_video_tokens,
        (a).tool_in_tokens, (a).reasoning_tokens, (a).audio_out_tokens, (a).image_out_tokens, (a).video_out_tokens,
        (a).citation_tokens, (a).usd, (a).memo_usd, (a).saved_usd, (a).reported_usd, (a).reported_own_usd, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        (a).first_time, (a).last_time, (a).partial, (a).free
    )::measures
$$;

-- Reservations with smaller ids may be deleted.
ALTER TABLE tenant ADD COLUMN reservations_kept_from uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';

-- Part of the rows of session_usage with the same keys.
CREATE TABLE sealed_session (
    tenant_id integer NOT NULL,
    session_id bigint NOT NULL,
    descendants boolean NOT NULL,
    shape_id bigint NOT NULL,
    adjustment boolean NOT NULL,
    sums measures NOT NULL,
    PRIMARY KEY (tenant_id, session_id, descendants, shape_id, adjustment)
);

-- Part of the rows of usage_rollup (user 0) and of user_rollup with the same keys.
CREATE TABLE sealed_rollup (
    tenant_id integer NOT NULL,
    grain smallint NOT NULL,
    user_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    shape_id bigint NOT NULL,
    adjustment boolean NOT NULL,
    sums measures NOT NULL,
    PRIMARY KEY (tenant_id, grain, bucket, user_id, shape_id, adjustment)
);

-- Part of what a counter has spent.
CREATE TABLE sealed_counter (
    tenant_id integer NOT NULL,
    budget_number bigint NOT NULL,
    scope uuid NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    per_values jsonb NOT NULL,
    spent numeric(28,12) NOT NULL,
    PRIMARY KEY (tenant_id, budget_number, scope, window_start)
);
