-- Totals and rollups in fewer bytes: counts of calls and attempts, shapes and versions in four bytes (a row is one shape of one
-- session, or of one quarter hour or day: two billion attempts in one row are a day of 24,000 a second), columns in an order
-- that leaves no gaps, and one row in ten left free for updates in place.

ALTER TABLE session_usage RENAME TO session_usage_before;
ALTER TABLE session_usage_before DROP CONSTRAINT session_usage_pkey;
-- Totals of a session by shape. A root session adds what its descendants used, kept apart from its own.
CREATE TABLE session_usage (
    session_id bigint NOT NULL, first_time timestamptz NOT NULL, last_time timestamptz NOT NULL,
    input_tokens bigint NOT NULL, output_tokens bigint NOT NULL, cache_read_tokens bigint, tenant_id integer NOT NULL,
    shape_id integer NOT NULL, version integer NOT NULL DEFAULT 1, calls integer NOT NULL, attempts integer NOT NULL,
    errors integer NOT NULL, unpriced integer NOT NULL, estimated integer NOT NULL,
    response_cache_hits integer NOT NULL, partial integer NOT NULL DEFAULT 0, free integer NOT NULL DEFAULT 0,
    cache_write_tokens bigint, audio_in_tokens bigint, image_in_tokens bigint, video_in_tokens bigint,
    cache_read_audio_tokens bigint, cache_read_image_tokens bigint, cache_read_video_tokens bigint,
    tool_in_tokens bigint, reasoning_tokens bigint, audio_out_tokens bigint, image_out_tokens bigint,
    video_out_tokens bigint, citation_tokens bigint, descendants boolean NOT NULL,
    adjustment boolean NOT NULL DEFAULT false, usd numeric(28,12) NOT NULL, memo_usd numeric(28,12) NOT NULL,
    saved_usd numeric(28,12), reported_usd numeric(28,12), reported_own_usd numeric(28,12),
    text_in_usd numeric(28,12), text_out_usd numeric(28,12), cache_read_usd numeric(28,12),
    cache_write_usd numeric(28,12), audio_in_usd numeric(28,12), image_in_usd numeric(28,12),
    video_in_usd numeric(28,12), cache_read_audio_usd numeric(28,12), cache_read_image_usd numeric(28,12),
    cache_read_video_usd numeric(28,12), tool_in_usd numeric(28,12), reasoning_usd numeric(28,12),
    audio_out_usd numeric(28,12), image_out_usd numeric(28,12), video_out_usd numeric(28,12),
    citation_usd numeric(28,12), units_usd numeric(28,12),
    PRIMARY KEY (tenant_id, session_id, descendants, shape_id, adjustment)
) WITH (fillfactor = 80);
INSERT INTO session_usage (
    session_id, first_time, last_time, input_tokens, output_tokens, cache_read_tokens, tenant_id, shape_id, version,
    calls, attempts, errors, unpriced, estimated, response_cache_hits, partial, free, cache_write_tokens,
    audio_in_tokens, image_in_tokens, video_in_tokens, cache_read_audio_tokens, cache_read_image_tokens,
    cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens, image_out_tokens, video_out_tokens,
    citation_tokens, descendants, adjustment, usd, memo_usd, saved_usd, reported_usd, reported_own_usd, text_in_usd,
    text_out_usd, cache_read_usd, cache_write_usd, audio_in_usd, image_in_usd, video_in_usd, cache_read_audio_usd,
    cache_read_image_usd, cache_read_video_usd, tool_in_usd, reasoning_usd, audio_out_usd, image_out_usd,
    video_out_usd, citation_usd, units_usd
)
SELECT
    session_id, first_time, last_time, input_tokens, output_tokens, cache_read_tokens, tenant_id, shape_id, version,
    calls, attempts, errors, unpriced, estimated, response_cache_hits, partial, free, cache_write_tokens,
    audio_in_tokens, image_in_tokens, video_in_tokens, cache_read_audio_tokens, cache_read_image_tokens,
    cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens, image_out_tokens, video_out_tokens,
    citation_tokens, descendants, adjustment, usd, memo_usd, saved_usd, reported_usd, reported_own_usd, text_in_usd,
    text_out_usd, cache_read_usd, cache_write_usd, audio_in_usd, image_in_usd, video_in_usd, cache_read_audio_usd,
    cache_read_image_usd, cache_read_video_usd, tool_in_usd, reasoning_usd, audio_out_usd, image_out_usd,
    video_out_usd, citation_usd, units_usd
FROM session_usage_before
ORDER BY tenant_id, session_id;
DROP TABLE session_usage_before;

ALTER TABLE usage_rollup RENAME TO usage_rollup_before;
ALTER TABLE usage_rollup_before DROP CONSTRAINT usage_rollup_pkey;
-- Usage by start time and shape. Grain 1: 15 minutes, fine enough for a day in every time zone; grain 2: UTC days.
CREATE TABLE usage_rollup (
    bucket timestamptz NOT NULL, first_time timestamptz NOT NULL, last_time timestamptz NOT NULL,
    input_tokens bigint NOT NULL, output_tokens bigint NOT NULL, cache_read_tokens bigint, tenant_id integer NOT NULL,
    shape_id integer NOT NULL, version integer NOT NULL DEFAULT 1, calls integer NOT NULL, attempts integer NOT NULL,
    errors integer NOT NULL, unpriced integer NOT NULL, estimated integer NOT NULL,
    response_cache_hits integer NOT NULL, partial integer NOT NULL DEFAULT 0, free integer NOT NULL DEFAULT 0,
    cache_write_tokens bigint, audio_in_tokens bigint, image_in_tokens bigint, video_in_tokens bigint,
    cache_read_audio_tokens bigint, cache_read_image_tokens bigint, cache_read_video_tokens bigint,
    tool_in_tokens bigint, reasoning_tokens bigint, audio_out_tokens bigint, image_out_tokens bigint,
    video_out_tokens bigint, citation_tokens bigint, grain smallint NOT NULL,
    adjustment boolean NOT NULL DEFAULT false, usd numeric(28,12) NOT NULL, memo_usd numeric(28,12) NOT NULL,
    saved_usd numeric(28,12), reported_usd numeric(28,12), reported_own_usd numeric(28,12),
    text_in_usd numeric(28,12), text_out_usd numeric(28,12), cache_read_usd numeric(28,12),
    cache_write_usd numeric(28,12), audio_in_usd numeric(28,12), image_in_usd numeric(28,12),
    video_in_usd numeric(28,12), cache_read_audio_usd numeric(28,12), cache_read_image_usd numeric(28,12),
    cache_read_video_usd numeric(28,12), tool_in_usd numeric(28,12), reasoning_usd numeric(28,12),
    audio_out_usd numeric(28,12), image_out_usd numeric(28,12), video_out_usd numeric(28,12),
    citation_usd numeric(28,12), units_usd numeric(28,12)
) WITH (fillfactor = 80);
INSERT INTO usage_rollup (
    bucket, first_time, last_time, input_tokens, output_tokens, cache_read_tokens, tenant_id, shape_id, version,
    calls, attempts, errors, unpriced, estimated, response_cache_hits, partial, free, cache_write_tokens,
    audio_in_tokens, image_in_tokens, video_in_tokens, cache_read_audio_tokens, cache_read_image_tokens,
    cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens, image_out_tokens, video_out_tokens,
    citation_tokens, grain, adjustment, usd, memo_usd, saved_usd, reported_usd, reported_own_usd, text_in_usd,
    text_out_usd, cache_read_usd, cache_write_usd, audio_in_usd, image_in_usd, video_in_usd, cache_read_audio_usd,
    cache_read_image_usd, cache_read_video_usd, tool_in_usd, reasoning_usd, audio_out_usd, image_out_usd,
    video_out_usd, citation_usd, units_usd
)
SELECT
    bucket, first_time, last_time, input_tokens, output_tokens, cache_read_tokens, tenant_id, shape_id, version,
    calls, attempts, errors, unpriced, estimated, response_cache_hits, partial, free, cache_write_tokens,
    audio_in_tokens, image_in_tokens, video_in_tokens, cache_read_audio_tokens, cache_read_image_tokens,
    cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens, image_out_tokens, video_out_tokens,
    citation_tokens, grain, adjustment, usd, memo_usd, saved_usd, reported_usd, reported_own_usd, text_in_usd,
    text_out_usd, cache_read_usd, cache_write_usd, audio_in_usd, image_in_usd, video_in_usd, cache_read_audio_usd,
    cache_read_image_usd, cache_read_video_usd, tool_in_usd, reasoning_usd, audio_out_usd, image_out_usd,
    video_out_usd, citation_usd, units_usd
FROM usage_rollup_before
ORDER BY tenant_id, bucket;
DROP TABLE usage_rollup_before;
-- The key. Quarter hours, which nearly all rows are, come last: new ones are appended to the index, whose pages so fill, instead
-- of splitting pages in its middle, which stay half empty. A primary key cannot have that order.
CREATE UNIQUE INDEX usage_rollup_pkey ON usage_rollup (tenant_id, grain DESC, bucket, shape_id, adjustment);

ALTER TABLE user_rollup RENAME TO user_rollup_before;
ALTER TABLE user_rollup_before DROP CONSTRAINT user_rollup_pkey;
DROP INDEX user_rollup_by_user;
-- The same by user and shape.
CREATE TABLE user_rollup (
    bucket timestamptz NOT NULL, user_id bigint NOT NULL, first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL, input_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    cache_read_tokens bigint, tenant_id integer NOT NULL, shape_id integer NOT NULL,
    version integer NOT NULL DEFAULT 1, calls integer NOT NULL, attempts integer NOT NULL, errors integer NOT NULL,
    unpriced integer NOT NULL, estimated integer NOT NULL, response_cache_hits integer NOT NULL,
    partial integer NOT NULL DEFAULT 0, free integer NOT NULL DEFAULT 0, cache_write_tokens bigint,
    audio_in_tokens bigint, image_in_tokens bigint, video_in_tokens bigint, cache_read_audio_tokens bigint,
    cache_read_image_tokens bigint, cache_read_video_tokens bigint, tool_in_tokens bigint, reasoning_tokens bigint,
    audio_out_tokens bigint, image_out_tokens bigint, video_out_tokens bigint, citation_tokens bigint,
    grain smallint NOT NULL, adjustment boolean NOT NULL DEFAULT false, usd numeric(28,12) NOT NULL,
    memo_usd numeric(28,12) NOT NULL, saved_usd numeric(28,12), reported_usd numeric(28,12),
    reported_own_usd numeric(28,12), text_in_usd numeric(28,12), text_out_usd numeric(28,12),
    cache_read_usd numeric(28,12), cache_write_usd numeric(28,12), audio_in_usd numeric(28,12),
    image_in_usd numeric(28,12), video_in_usd numeric(28,12), cache_read_audio_usd numeric(28,12),
    cache_read_image_usd numeric(28,12), cache_read_video_usd numeric(28,12), tool_in_usd numeric(28,12),
    reasoning_usd numeric(28,12), audio_out_usd numeric(28,12), image_out_usd numeric(28,12),
    video_out_usd numeric(28,12), citation_usd numeric(28,12), units_usd numeric(28,12)
) WITH (fillfactor = 80);
INSERT INTO user_rollup (
    bucket, user_id, first_time, last_time, input_tokens, output_tokens, cache_read_tokens, tenant_id, shape_id,
    version, calls, attempts, errors, unpriced, estimated, response_cache_hits, partial, free, cache_write_tokens,
    audio_in_tokens, image_in_tokens, video_in_tokens, cache_read_audio_tokens, cache_read_image_tokens,
    cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens, image_out_tokens, video_out_tokens,
    citation_tokens, grain, adjustment, usd, memo_usd, saved_usd, reported_usd, reported_own_usd, text_in_usd,
    text_out_usd, cache_read_usd, cache_write_usd, audio_in_usd, image_in_usd, video_in_usd, cache_read_audio_usd,
    cache_read_image_usd, cache_read_video_usd, tool_in_usd, reasoning_usd, audio_out_usd, image_out_usd,
    video_out_usd, citation_usd, units_usd
)
SELECT
    bucket, user_id, first_time, last_time, input_tokens, output_tokens, cache_read_tokens, tenant_id, shape_id,
    version, calls, attempts, errors, unpriced, estimated, response_cache_hits, partial, free, cache_write_tokens,
    audio_in_tokens, image_in_tokens, video_in_tokens, cache_read_audio_tokens, cache_read_image_tokens,
    cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens, image_out_tokens, video_out_tokens,
    citation_tokens, grain, adjustment, usd, memo_usd, saved_usd, reported_usd, reported_own_usd, text_in_usd,
    text_out_usd, cache_read_usd, cache_write_usd, audio_in_usd, image_in_usd, video_in_usd, cache_read_audio_usd,
    cache_read_image_usd, cache_read_video_usd, tool_in_usd, reasoning_usd, audio_out_usd, image_out_usd,
    video_out_usd, citation_usd, units_usd
FROM user_rollup_before
ORDER BY tenant_id, bucket;
DROP TABLE user_rollup_before;
-- The key, in the same order for the same reason.
CREATE UNIQUE INDEX user_rollup_pkey ON user_rollup (tenant_id, grain DESC, bucket, user_id, shape_id, adjustment);
CREATE INDEX user_rollup_by_user ON user_rollup (tenant_id, grain, user_id, bucket);

