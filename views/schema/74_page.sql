-- The page for people: everything it shows in one JSON text, of one tenant.

-- Return every KPI over a tenant's last 30 whole days, with a point for each day; one by the month over this month,
-- with a point for each of twelve months.
CREATE FUNCTION kpi_http.page_kpis(conditions jsonb, days timestamptz[], months timestamptz[]) RETURNS json
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_agg(json_build_object(
        'id', k.kpi_id, 'family', k.family, 'title', k.title, 'description', k.description, 'unit', k.unit,
        'monthly', k.grain = 'month', 'starts', kpi_http.ms(s.span[2]), 'ends', kpi_http.ms(s.span[3]),
        'value', kpi_http.number(v.value), 'line', l.points
    ) ORDER BY k.position)
    FROM kpi_admin.kpi AS k
    -- Where the line starts; where the value starts; where both end.
    CROSS JOIN LATERAL (SELECT CASE k.grain WHEN 'month' THEN months ELSE days END AS span) AS s
    CROSS JOIN LATERAL (
        SELECT array_agg(a.value ORDER BY a.no) AS points
        FROM kpi_admin.answer(kpi_admin.plan(k.kpi_id, 'series', kpi_admin.between_instants(s.span[1], s.span[3], NULL),
            NULL, conditions, '{}', NULL)) WITH ORDINALITY AS a (at, dims, value, compared, no)
    ) AS l
    CROSS JOIN LATERAL (
        -- Days of a count add up to its total, to the last digit; nothing else's do.
        SELECT CASE
            WHEN k.fold = 'sum' AND k.per = 1 AND k.grain <> 'month' THEN (SELECT sum(p) FROM unnest(l.points) AS p)
            ELSE (
                SELECT a.value FROM kpi_admin.answer(kpi_admin.plan(k.kpi_id, 'total',
                    kpi_admin.between_instants(s.span[2], s.span[3], NULL), NULL, conditions, '{}', NULL)) AS a
            ) END AS value
    ) AS v
$$;

-- Return the page of a tenant, by default of the one with the most messages lately.
CREATE FUNCTION kpi_http.page(asked jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chosen text := asked ->> 'tenant';
    conditions jsonb;
    zone text;
    span record;
    month date;
BEGIN
    IF chosen IS NULL THEN
        SELECT t.tenant INTO chosen
        FROM kpi_admin.asked_tenants('[]') AS t
        LEFT JOIN kpi_admin.answer(kpi_admin.plan(
            'messages', 'total',
            kpi_admin.between_instants(kpi_admin.now() - interval '30 days', kpi_admin.now(), NULL),
            NULL, '[]', '{tenant}', NULL
        )) AS a ON a.dims[1] = t.tenant
        ORDER BY a.value DESC NULLS LAST, t.tenant COLLATE "C" LIMIT 1;
    END IF;
    conditions := kpi_http.authorise_filters(
        jsonb_build_object('tenant', jsonb_build_object('op', '=', 'values', jsonb_build_array(coalesce(chosen, '')))));
    zone := kpi_http.common_zone(conditions);
    span := kpi_admin.last_whole(zone, '30 days');
    month := date_trunc('month', kpi_admin.now() AT TIME ZONE zone);
    RETURN json_build_object('tenant', chosen, 'zone', zone,
        'tenants', (
            SELECT json_agg(
                json_build_object(
                    'id', t.tenant, 'name', kpi_http.label('tenant', t.tenant, ARRAY[t.tenant_no])
                )
                ORDER BY kpi_http.label('tenant', t.tenant, ARRAY[t.tenant_no]) COLLATE "C", t.tenant
            )
            FROM kpi_admin.asked_tenants('[]') AS t
        ),
        'refreshed_at', (SELECT kpi_http.ms(s.refreshed_at) FROM kpi_admin.state AS s),
        'behind', (SELECT s.behind FROM kpi_http.state() AS s),
        'kpis', kpi_http.page_kpis(conditions, ARRAY[span.starts, span.starts, span.ends], ARRAY[
            kpi_admin.day_start(zone, (month - interval '11 months')::date),
            kpi_admin.day_start(zone, month),
            kpi_admin.day_start(zone, (month + interval '1 month')::date)
        ]));
END
$$;
