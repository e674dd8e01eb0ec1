-- What Grafana asks to fill its menus, and annotations: a JSON text a row. `asked` are the fields of the request.

CREATE FUNCTION kpi_http.dim_values(dim_name text, filters jsonb) RETURNS TABLE (id text, name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM kpi_http.conditions(filters);
    RETURN QUERY
    SELECT v.value, kpi_http.label(dim_name, v.value, v.tenants)
    FROM (
        SELECT o.value, array_agg(DISTINCT o.tenant_no) AS tenants FROM kpi_http.occurring(dim_name, filters) AS o GROUP BY o.value
        ORDER BY o.value COLLATE "C" LIMIT 1000
    ) AS v
    ORDER BY v.value COLLATE "C";
END
$$;

CREATE FUNCTION kpi_http.tag_keys(asked jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_object('type', 'string', 'text', d.dim, 'key', d.dim)::text FROM kpi_admin.dim AS d ORDER BY d.dim COLLATE "C"
$$;

CREATE FUNCTION kpi_http.tag_values(asked jsonb) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF asked ->> 'key' IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'missing_key', MESSAGE = 'the request names no key';
    END IF;
    RETURN QUERY SELECT json_build_object('text', v.id)::text FROM kpi_http.dim_values(asked ->> 'key', '[]') AS v;
END
$$;

-- The options of a variable: the things of a list, or the values of a dimension.
CREATE FUNCTION kpi_http.variable(asked jsonb) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (asked ->> 'list' IS NULL) = (asked ->> 'dim' IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'invalid_field', MESSAGE = 'payload names either a list or a dim';
    ELSIF asked ->> 'list' IS NOT NULL THEN
        PERFORM kpi_http.used_range(asked);
        RETURN QUERY
        SELECT json_build_object('__text', (array_agg(r.row::json ->> 'name' ORDER BY r.no))[1], '__value', r.row::json ->> 'id')::text
        FROM kpi_http.list(kpi_http.question(asked)) WITH ORDINALITY AS r (row, no)
        GROUP BY r.row::json ->> 'id' ORDER BY min(r.no);
    ELSE
        RETURN QUERY
        SELECT json_build_object('__text', v.name, '__value', v.id)::text FROM kpi_http.dim_values(asked ->> 'dim', asked -> 'filters') AS v
        ORDER BY v.name COLLATE "C", v.id COLLATE "C";
    END IF;
END
$$;

-- The KPIs whose id or title holds a text.
CREATE FUNCTION kpi_http.search(asked jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_object('text', k.title, 'value', k.kpi_id)::text FROM kpi_admin.kpi AS k
    WHERE strpos(lower(k.kpi_id || E'\n' || k.title), lower(coalesce(asked ->> 'target', ''))) > 0
    ORDER BY k.position
$$;

-- What a field of a KPI's payload can be; null for a field with no such choice.
CREATE FUNCTION kpi_http.options(dims text[], field text) RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_agg(json_build_object('label', o, 'value', o)) FROM unnest(CASE field
        WHEN 'shape' THEN '{series,cumulative,total,table,distribution}'
        WHEN 'by' THEN dims || ARRAY['tenant']
        WHEN 'interval' THEN '{auto,hour,day,week,month}'
        WHEN 'granularity' THEN '{day,hour}'
        WHEN 'compare' THEN '{previous}'
    END::text[]) AS o
$$;

CREATE FUNCTION kpi_http.metrics(asked jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_object('label', k.title, 'value', k.kpi_id, 'description', k.description, 'payloads', (
        SELECT json_agg(p.payload) FROM (
            SELECT json_build_object('label', f, 'name', f, 'type', 'select', 'options', kpi_http.options(k.dims, f)) AS payload
            FROM unnest('{shape,interval,granularity,compare}'::text[]) AS f
            -- The options of those with several values are asked for when their menu is opened: given here, simPod JSON would
            -- not show which are chosen.
            UNION ALL SELECT json_build_object('label', 'by', 'name', 'by', 'type', 'multi-select', 'placeholder', 'nothing')
            UNION ALL SELECT json_build_object('label', d, 'name', 'filters.' || d, 'type', 'multi-select', 'placeholder', 'all') FROM unnest(k.dims || ARRAY['tenant']) AS d
        ) AS p
    ))::text FROM kpi_admin.kpi AS k ORDER BY k.position
$$;

-- What a field of a KPI's payload can be; for a filter the values that occur, in the chosen tenants.
CREATE FUNCTION kpi_http.payload_options(asked jsonb) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k kpi_admin.kpi := kpi_admin.definition(asked ->> 'metric');
    dim text := substring(asked ->> 'name' FROM '^filters\.(.*)$');
BEGIN
    IF dim IS NULL THEN
        RETURN QUERY SELECT o::text FROM json_array_elements(kpi_http.options(k.dims, asked ->> 'name')) AS o;
    ELSIF dim = ANY (k.dims || ARRAY['tenant']) THEN
        RETURN QUERY
        SELECT json_build_object('label', v.name, 'value', v.id)::text
        FROM kpi_http.dim_values(dim, CASE WHEN dim = 'tenant' THEN '[]' ELSE
            (SELECT coalesce(jsonb_agg(jsonb_build_object('tenant', f -> 'tenant')), '[]') FROM jsonb_array_elements(asked -> 'filters') AS f WHERE f ? 'tenant')
        END) AS v
        ORDER BY v.name COLLATE "C", v.id COLLATE "C";
    END IF;
END
$$;

-- The time zone that the asked tenants share, else UTC; the last 30 whole days there as RFC 3339.
CREATE FUNCTION kpi_http.last_days(asked jsonb, OUT zone text, OUT starts text, OUT ends text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date;
BEGIN
    SELECT CASE WHEN count(DISTINCT t.zone) = 1 THEN min(t.zone) ELSE 'UTC' END INTO zone
    FROM kpi_admin.asked_tenants(kpi_http.conditions(asked -> 'filters')) AS t;
    today := kpi_admin.now() AT TIME ZONE zone;
    starts := kpi_http.rfc3339(kpi_admin.day_start(zone, today - 30));
    ends := kpi_http.rfc3339(kpi_admin.day_start(zone, today));
END
$$;

-- What to mark in a range: each local 1 January, and the first data of each experience.
CREATE FUNCTION kpi_http.marks(asked jsonb) RETURNS TABLE (at timestamptz, title text, text text, tags text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    q kpi_http.question := jsonb_populate_record(NULL::kpi_http.question, asked);
    zone text := (kpi_http.last_days(asked)).zone;
BEGIN
    IF q.starts IS NULL OR q.ends IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'missing_range', MESSAGE = 'the request needs a range with from and to';
    ELSIF q.starts >= q.ends THEN
        PERFORM kpi_admin.refuse('invalid_range', 'from must be before to');
    END IF;
    RETURN QUERY
    SELECT n.starts, n.year::text, n.year::text, 'year'
    FROM (SELECT y AS year, kpi_admin.day_start(zone, make_date(y, 1, 1)) AS starts FROM generate_series(2000, 2101) AS y) AS n
    WHERE n.starts >= q.starts AND n.starts < q.ends
    UNION ALL
    SELECT s.at, kpi_http.label('experience', s.experience, ARRAY[s.tenant_no]), 'first data', 'experience'
    FROM kpi_fact.experience_start AS s
    WHERE s.tenant_no = ANY (kpi_http.tenant_numbers(q.filters)) AND s.at >= q.starts AND s.at < q.ends
    ORDER BY 1, 2;
END
$$;

-- POST /annotations: the years alone.
CREATE FUNCTION kpi_http.annotations(asked jsonb) RETURNS SETOF text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_object('annotation', asked -> 'annotation', 'time', kpi_http.ms(m.at), 'title', m.title, 'text', m.text)::text
    FROM kpi_http.marks(asked) AS m WHERE m.tags = 'year'
$$;
