-- Lists that alert rules ask: how each tenant stands, and how the installation does. They go by whole hours and days of
-- the tenants' own clocks, so that an alert neither doubles when an hour begins nor waits for it.

-- Return how tenants stand: the hour that holds now, how much of a month had passed when yesterday ended, the age of
-- the newest event, and the after-sales contacts who joined in the seven days up to a day ago: all, and those whom no
-- user has answered yet.
CREATE FUNCTION kpi_http.list_tenants(q kpi_http.question) RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH clocks AS (
        SELECT t.tenant_no, t.id, t.name, t.more ->> 'timezone' AS zone,
            (kpi_admin.hour_of(t.more ->> 'timezone', kpi_admin.now())).starts AS hour,
            kpi_admin.local_day(t.more ->> 'timezone', kpi_admin.now()) - 1 AS yesterday
        FROM kpi_admin.entity AS t
        WHERE t.kind = 'tenant' AND t.tenant_no = ANY (kpi_http.tenant_numbers(q.conditions))
    )
    SELECT c.tenant_no, json_build_object('id', c.id, 'name', c.name, 'active', true, 'timezone', c.zone,
        'weekday', extract(isodow FROM c.hour AT TIME ZONE c.zone)::integer,
        'hour', extract(hour FROM c.hour AT TIME ZONE c.zone)::integer,
        'month_elapsed', trim_scale(round(extract(day FROM c.yesterday) / extract(day FROM
            date_trunc('month', c.yesterday::timestamp) + interval '1 month' - interval '1 day'), 4)),
        'hours_since_event', trim_scale(round(extract(epoch FROM kpi_admin.now() - newest.at) / 3600, 2)),
        'after_sales_joined', coalesce(joined.count, 0), 'after_sales_unanswered', coalesce(joined.unanswered, 0)),
        '{}'::jsonb
    FROM clocks AS c
    LEFT JOIN LATERAL (
        SELECT e.at FROM kpi_fact.event AS e
        WHERE e.tenant_no = c.tenant_no AND e.at <= kpi_admin.now() ORDER BY e.at DESC LIMIT 1
    ) AS newest ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, count(*) FILTER (WHERE NOT a.engaged) AS unanswered
        FROM kpi_fact.after_sales AS a
        CROSS JOIN LATERAL (
            SELECT min(m.at) AS at FROM kpi_fact.conversation_event AS m
            WHERE m.conversation_no = a.conversation_no AND (m.at, m.id) > (a.at, a.id)
                AND m.kind = 'message' AND m.sender = 'contact'
        ) AS answer
        WHERE a.tenant_no = c.tenant_no AND a.joined AND a.day > c.yesterday - 90
            AND answer.at >= c.hour - interval '8 days' AND answer.at < c.hour - interval '1 day'
    ) AS joined
    ORDER BY c.name COLLATE "C", c.id COLLATE "C"
$$;

-- Return in one row how the installation stands, as far as the asking token may see: for how long the oldest load has
-- waited for a refresh, and how long ago the newest load was. Both go by the real clock.
CREATE FUNCTION kpi_http.list_installation() RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::integer, json_build_object('id', 'chatkpi', 'name', 'chatkpi',
        'minutes_behind', trim_scale(round(extract(epoch FROM max(f.behind)) / 60, 2)),
        'hours_since_load', trim_scale(round(extract(epoch FROM now() - max(f.loaded_at)) / 3600, 2))), '{}'::jsonb
    FROM kpi.freshness AS f
$$;

REVOKE ALL ON FUNCTION kpi_http.list_tenants, kpi_http.list_installation FROM PUBLIC;
