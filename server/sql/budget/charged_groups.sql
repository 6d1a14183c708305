-- What events charge to budgets as corrected, by window, shape and the dimensions that matter to a question ($4: their codes, $5:
-- whether labels do), so that groups stay few. Windows come sorted and disjoint: $2 their starts, $3 their ends.
-- Reversed legs of corrections count negatively. $7: only what was recorded before; NULL = everything. $8: whether exact shapes
-- matter where they were folded: they stand under the empty label.
SELECT
    charged.place AS "place!", charged.shape_id AS "shape_id!",
    charged.customer_id, charged.user_id, charged.session_id, charged.parent_session_id, charged.root_session_id,
    charged.thread_id, charged.room_id, charged.instance_id, charged.workflow_id, charged.panel_id, charged.task_id,
    charged.workflow_step, charged.panel_position, charged.panel_size, charged.labels,
    sum(charged.sign * charged.usd)::numeric(28,12) AS "usd!",
    coalesce(sum(charged.sign * charged.input_tokens) FILTER (WHERE NOT charged.response_cache_hit), 0)::bigint AS "input_tokens!",
    coalesce(sum(charged.sign * charged.output_tokens) FILTER (WHERE NOT charged.response_cache_hit), 0)::bigint AS "output_tokens!",
    coalesce(sum(charged.sign) FILTER (WHERE charged.attempt <= 1), 0)::bigint AS "calls!",
    sum(charged.sign)::bigint AS "attempts!"
FROM (
    SELECT
        -- A binary search, where a join by range would compare every event with every window.
        width_bucket(charge_time, $2::timestamptz[]) AS place,
        sign, charge_time, shape_id, usd, input_tokens, output_tokens, attempt, response_cache_hit,
        CASE WHEN 4::smallint = ANY($4::smallint[]) THEN customer_id END AS customer_id,
        CASE WHEN 6::smallint = ANY($4) THEN user_id END AS user_id,
        CASE WHEN 8::smallint = ANY($4) THEN session_id END AS session_id,
        CASE WHEN 9::smallint = ANY($4) THEN parent_session_id END AS parent_session_id,
        CASE WHEN 10::smallint = ANY($4) THEN root_session_id END AS root_session_id,
        CASE WHEN 11::smallint = ANY($4) THEN thread_id END AS thread_id,
        CASE WHEN 12::smallint = ANY($4) THEN room_id END AS room_id,
        CASE WHEN 13::smallint = ANY($4) THEN instance_id END AS instance_id,
        CASE WHEN 21::smallint = ANY($4) THEN workflow_id END AS workflow_id,
        CASE WHEN 24::smallint = ANY($4) THEN panel_id END AS panel_id,
        CASE WHEN 28::smallint = ANY($4) THEN task_id END AS task_id,
        CASE WHEN 22::smallint = ANY($4) THEN workflow_step END AS workflow_step,
        CASE WHEN 25::smallint = ANY($4) THEN panel_position END AS panel_position,
        CASE WHEN 26::smallint = ANY($4) THEN panel_size END AS panel_size,
        CASE
            WHEN $5::boolean THEN CASE WHEN $8::boolean THEN labels ELSE labels - '' END
            WHEN $8 AND labels ? '' THEN jsonb_build_object('', labels -> '')
        END AS labels
    FROM (
        SELECT
            1::smallint AS sign, charge_time,
            shape_id, usd, input_tokens, output_tokens, attempt, response_cache_hit, customer_id, user_id, session_id,
            parent_session_id, root_session_id, thread_id, room_id, instance_id, workflow_id, panel_id, task_id,
            workflow_step, panel_position, panel_size, labels
        FROM usage_event_wide
        WHERE tenant_id = $1 AND accounting = 1 AND ($7::timestamptz IS NULL OR record_time < $7)
            AND charge_time >= ($2::timestamptz[])[1]
            AND charge_time < ($3::timestamptz[])[cardinality($3::timestamptz[])]
        UNION ALL
        SELECT
            sign, charge_time,
            shape_id, usd, input_tokens, output_tokens, attempt, response_cache_hit, customer_id, user_id, session_id,
            parent_session_id, root_session_id, thread_id, room_id, instance_id, workflow_id, panel_id, task_id,
            workflow_step, panel_position, panel_size, labels
        FROM usage_adjustment_wide
        WHERE tenant_id = $1 AND accounting = 1 AND ($7::timestamptz IS NULL OR adjust_time < $7)
            AND charge_time >= ($2::timestamptz[])[1]
            AND charge_time < ($3::timestamptz[])[cardinality($3::timestamptz[])]
            -- The hour is what is indexed here.
            AND date_bin('1 hour', charge_time, '2000-01-01 00:00:00+00')
                >= date_bin('1 hour', ($2::timestamptz[])[1], '2000-01-01 00:00:00+00')
            AND date_bin('1 hour', charge_time, '2000-01-01 00:00:00+00')
                <= date_bin('1 hour', ($3::timestamptz[])[cardinality($3::timestamptz[])], '2000-01-01 00:00:00+00')
    ) AS entry
) AS charged
WHERE charged.place > 0 AND charged.charge_time < ($3::timestamptz[])[charged.place]
GROUP BY
    charged.place, charged.shape_id, charged.customer_id, charged.user_id, charged.session_id,
    charged.parent_session_id, charged.root_session_id, charged.thread_id, charged.room_id, charged.instance_id,
    charged.workflow_id, charged.panel_id, charged.task_id, charged.workflow_step, charged.panel_position,
    charged.panel_size, charged.labels
LIMIT $6
