-- Lists that alert rules ask: how each tenant stands, and how the installation does. They go by whole hours and days of
-- the tenants' own clocks, so that an alert neither doubles when an hour begins nor waits for it.

-- Return how tenants stand: the hour that holds now, how much of a month had passed when yesterday ended, the age of
-- the newest event, and the after-sales contacts who joined in the seven days up to a day ago: all, and those whom no
-- user has answered yet.
CREATE FUNCTION kpi_http.list_tenants(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH clocks AS (
        SELECT tenant.tenant_no, tenant.id, tenant.name, tenant.more ->> 'timezone' AS zone,
            (kpi_admin.hour_of(tenant.more ->> 'timezone', kpi_admin.now())).starts AS hour,
            kpi_admin.local_day(tenant.more ->> 'timezone', kpi_admin.now()) - 1 AS yesterday
        FROM kpi_admin.entity AS tenant
        WHERE tenant.kind = 'tenant' AND tenant.tenant_no = ANY (kpi_http.tenant_numbers(q.conditions))
    )
    SELECT clock.tenant_no,
        jsonb_build_object(
            'id', clock.id, 'name', clock.name, 'active', true, 'timezone', clock.zone,
            'weekday', extract(isodow FROM clock.hour AT TIME ZONE clock.zone)::integer,
            'hour', extract(hour FROM clock.hour AT TIME ZONE clock.zone)::integer,
            'month_elapsed', trim_scale(round(extract(day FROM clock.yesterday) / extract(day FROM
                date_trunc('month', clock.yesterday::timestamp) + interval '1 month' - interval '1 day'), 4)),
            'hours_since_event', trim_scale(round(extract(epoch FROM kpi_admin.now() - newest.at) / 3600, 2)),
            'after_sales_joined', coalesce(joined.count, 0),
            'after_sales_unanswered', coalesce(joined.unanswered, 0)
        ),
        '{}'::jsonb
    FROM clocks AS clock
    LEFT JOIN LATERAL (
        SELECT event.at FROM kpi_fact.event AS event
        WHERE event.tenant_no = clock.tenant_no AND event.at <= kpi_admin.now() ORDER BY event.at DESC LIMIT 1
    ) AS newest ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, count(*) FILTER (WHERE NOT invited.engaged) AS unanswered
        FROM kpi_fact.after_sales AS invited
        CROSS JOIN LATERAL (
            SELECT min(message.at) AS at FROM kpi_fact.conversation_event AS message
            WHERE message.conversation_no = invited.conversation_no
                AND (message.at, message.id) > (invited.at, invited.id)
                AND message.kind = 'message' AND message.sender = 'contact'
        ) AS answer
        WHERE invited.tenant_no = clock.tenant_no AND invited.joined AND invited.day > clock.yesterday - 90
            AND answer.at >= clock.hour - interval '8 days' AND answer.at < clock.hour - interval '1 day'
    ) AS joined
    ORDER BY clock.name COLLATE "C", clock.id COLLATE "C"
$$;

-- Return in one row how the installation stands, as far as the asking token may see: for how long the oldest load has
-- waited for a refresh, and how long ago the newest load was. Both go by the real clock.
CREATE FUNCTION kpi_http.list_installation(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::integer,
        jsonb_build_object(
            'id', 'chatkpi', 'name', 'chatkpi',
            'minutes_behind', trim_scale(round(extract(epoch FROM max(fresh.behind)) / 60, 2)),
            'hours_since_load', trim_scale(round(extract(epoch FROM now() - max(fresh.loaded_at)) / 3600, 2))
        ),
        '{}'::jsonb
    FROM kpi.freshness AS fresh
$$;
