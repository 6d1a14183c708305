-- Corrections event by event: revisions without a gap; a reversing leg is exactly the facts of the revision before, and is
-- there wherever there were facts. Facts are all columns but those that only a leg has.
WITH revision AS (
    SELECT
        leg.event_id, leg.revision,
        max(CASE WHEN leg.sign = -1 THEN facts.content::text END) AS reversed,
        max(CASE WHEN leg.sign = 1 THEN facts.content::text END) AS added
    FROM usage_adjustment AS leg
    CROSS JOIN LATERAL (
        SELECT jsonb_strip_nulls(
            to_jsonb(leg) - ARRAY['revision', 'sign', 'kind', 'request_id', 'reason', 'adjust_time']
        ) AS content
    ) AS facts
    WHERE leg.tenant_id = $1
    GROUP BY leg.event_id, leg.revision
), compared AS (
    SELECT
        revision.event_id, revision.revision, revision.reversed,
        lag(revision.revision, 1, 1::bigint) OVER steps AS revision_before,
        CASE
            WHEN row_number() OVER steps = 1 THEN jsonb_strip_nulls(to_jsonb(event))::text
            ELSE lag(revision.added) OVER steps
        END AS facts_before
    FROM revision
    LEFT JOIN usage_event AS event ON event.tenant_id = $1 AND event.event_id = revision.event_id
    WINDOW steps AS (PARTITION BY revision.event_id ORDER BY revision.revision)
), drifting AS (
    SELECT * FROM compared
    WHERE revision <> revision_before + 1 OR reversed IS DISTINCT FROM facts_before
)
SELECT
    (SELECT count(*) FROM compared) AS "rows!",
    (SELECT count(*) FROM drifting) AS "drifting!",
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', format('event %s, revision %s', example.event_id, example.revision),
            'differences',
            CASE WHEN example.revision <> example.revision_before + 1 THEN jsonb_build_array(jsonb_build_object(
                'figure', 'revision', 'ledger', (example.revision_before + 1)::text, 'stored', example.revision::text
            )) ELSE '[]' END
            || CASE
                WHEN example.reversed IS DISTINCT FROM example.facts_before THEN coalesce((
                    SELECT jsonb_agg(jsonb_build_object(
                        'figure', key, 'ledger', ours.value #>> '{}', 'stored', theirs.value #>> '{}'
                    ) ORDER BY key)
                    FROM jsonb_each(coalesce(example.facts_before, '{}')::jsonb) AS ours (key, value)
                    FULL JOIN jsonb_each(coalesce(example.reversed, '{}')::jsonb) AS theirs (key, value) USING (key)
                    WHERE ours.value IS DISTINCT FROM theirs.value
                ), '[]')
                ELSE '[]'
            END
        )), '[]')
        FROM (SELECT * FROM drifting ORDER BY event_id, revision LIMIT 5) AS example
    ) AS "examples!"
