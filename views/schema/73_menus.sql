-- Requests that are no questions: what Grafana asks to fill its menus and to mark years, and the page for people.

-- Return the names of these requests. Each is answered by the function of its name in this schema: it takes the fields
-- of the request and returns JSON texts. `kpi_http.answer_request` calls no other.
CREATE FUNCTION kpi_http.requests() RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT '{search,metrics,payload_options,variable,tag_keys,tag_values,annotations,page}'::text[]
$$;

-- Return the values of a dimension that occur under filters, with their names; at most 1,000.
CREATE FUNCTION kpi_http.dim_values(dim_name text, filters jsonb) RETURNS TABLE (id text, name text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    conditions jsonb;
BEGIN
    conditions := kpi_http.authorise_filters(filters);
    RETURN QUERY
    SELECT listed.value, kpi_http.label(dim_name, listed.value, listed.tenants)
    FROM (
        SELECT found.value, array_agg(DISTINCT found.tenant_no) AS tenants
        FROM kpi_http.occurring(dim_name, conditions) AS found GROUP BY found.value
        ORDER BY found.value COLLATE "C" LIMIT 1000
    ) AS listed
    ORDER BY listed.value COLLATE "C";
END
$$;

-- Return the dimensions that ad hoc filters can be on.
CREATE FUNCTION kpi_http.tag_keys(asked jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_object('type', 'string', 'text', d.dim, 'key', d.dim)::text
    FROM kpi_admin.dim AS d ORDER BY d.dim COLLATE "C"
$$;

-- Return the values that an ad hoc filter on the dimension `key` can have. Refuse a request without a key.
CREATE FUNCTION kpi_http.tag_values(asked jsonb) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF asked ->> 'key' IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'missing_key', MESSAGE = 'the request names no key';
    END IF;
    RETURN QUERY SELECT json_build_object('text', v.id)::text FROM kpi_http.dim_values(asked ->> 'key', '[]') AS v;
END
$$;

-- Return the options of a variable: the things of a list, or the values of a dimension. `target` names either.
CREATE FUNCTION kpi_http.variable(asked jsonb) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target text := asked ->> 'target';
BEGIN
    IF num_nonnulls(asked ->> 'list', asked ->> 'dim', target) <> 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'invalid_field',
            MESSAGE = 'payload names either a list or a dim (or one of them as target)';
    ELSIF target IS NOT NULL THEN
        asked := asked || jsonb_build_object(
            CASE WHEN EXISTS (SELECT FROM kpi_admin.dim AS d WHERE d.dim = target) THEN 'dim' ELSE 'list' END, target);
    END IF;
    IF asked ->> 'list' IS NOT NULL THEN
        RETURN QUERY
        SELECT json_build_object(
            '__text', (array_agg(r.row::json ->> 'name' ORDER BY r.no))[1], '__value', r.row::json ->> 'id'
        )::text
        FROM kpi_http.list(kpi_http.read(asked)) WITH ORDINALITY AS r (row, no)
        GROUP BY r.row::json ->> 'id' ORDER BY min(r.no);
    ELSE
        RETURN QUERY
        SELECT json_build_object('__text', v.name, '__value', v.id)::text
        FROM kpi_http.dim_values(asked ->> 'dim', asked -> 'filters') AS v
        ORDER BY v.name COLLATE "C", v.id COLLATE "C";
    END IF;
END
$$;

-- Return the KPIs whose id or title holds the text `target`.
CREATE FUNCTION kpi_http.search(asked jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_object('text', k.title, 'value', k.kpi_id)::text FROM kpi_admin.kpi AS k
    WHERE strpos(lower(k.kpi_id || E'\n' || k.title), lower(coalesce(asked ->> 'target', ''))) > 0
    ORDER BY k.position
$$;

-- Return what a field of a KPI's payload can be; null for a field with no such choice.
CREATE FUNCTION kpi_http.options(dims text[], field text) RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_agg(json_build_object('label', option, 'value', option)) FROM unnest(CASE field
        WHEN 'shape' THEN '{series,cumulative,total,table,distribution}'
        WHEN 'by' THEN dims || ARRAY['tenant']
        WHEN 'interval' THEN '{auto,hour,day,week,month}'
        WHEN 'granularity' THEN '{day,hour}'
        WHEN 'compare' THEN '{previous,usual}'
    END::text[]) AS option
$$;

-- Return every KPI with the fields that its payload can have.
CREATE FUNCTION kpi_http.metrics(asked jsonb) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_object('label', kpi.title, 'value', kpi.kpi_id, 'description', kpi.description, 'payloads', (
        SELECT json_agg(payloads.payload) FROM (
            SELECT json_build_object(
                'label', field, 'name', field, 'type', 'select', 'options', kpi_http.options(kpi.dims, field)
            ) AS payload
            FROM unnest('{shape,interval,granularity,compare}'::text[]) AS field
            -- The options of those with several values are asked for when their menu is opened: given here, simPod
            -- JSON would not show which are chosen.
            UNION ALL
            SELECT json_build_object('label', 'by', 'name', 'by', 'type', 'multi-select', 'placeholder', 'nothing')
            UNION ALL
            SELECT json_build_object(
                'label', dim, 'name', 'filters.' || dim, 'type', 'multi-select', 'placeholder', 'all'
            )
            FROM unnest(kpi.dims || ARRAY['tenant']) AS dim
        ) AS payloads
    ))::text FROM kpi_admin.kpi AS kpi ORDER BY kpi.position
$$;

-- Return what the field `name` of the payload of the KPI `metric` can be; for a filter the values that occur in the
-- chosen tenants.
CREATE FUNCTION kpi_http.payload_options(asked jsonb) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k kpi_admin.kpi := kpi_admin.definition(asked ->> 'metric');
    dim text := substring(asked ->> 'name' FROM '^filters\.(.*)$');
BEGIN
    IF dim IS NULL THEN
        RETURN QUERY
        SELECT option::text FROM json_array_elements(kpi_http.options(k.dims, asked ->> 'name')) AS option;
    ELSIF dim = ANY (k.dims || ARRAY['tenant']) THEN
        RETURN QUERY
        SELECT json_build_object('label', v.name, 'value', v.id)::text
        FROM kpi_http.dim_values(dim, CASE WHEN dim = 'tenant' THEN '[]' ELSE
            (
                SELECT coalesce(jsonb_agg(jsonb_build_object('tenant', filter -> 'tenant')), '[]')
                FROM jsonb_array_elements(asked -> 'filters') AS filter WHERE filter ? 'tenant'
            )
        END) AS v
        ORDER BY v.name COLLATE "C", v.id COLLATE "C";
    END IF;
END
$$;

-- Return the time zone that the asked tenants share, else UTC.
CREATE FUNCTION kpi_http.common_zone(conditions jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(kpi_admin.one_clock(array_agg(DISTINCT t.zone)), 'UTC')
    FROM kpi_admin.asked_tenants(conditions) AS t
$$;

-- Return what to mark in a range: each local 1 January, and the first data of each experience.
CREATE FUNCTION kpi_http.marks(q kpi_http.question) RETURNS TABLE (at timestamptz, title text, text text, tags text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    zone text := kpi_http.common_zone(q.conditions);
    span record;
BEGIN
    IF q.last IS NOT NULL THEN
        span := kpi_admin.last_whole(zone, q.last);
    ELSE
        SELECT q.starts, q.ends INTO span;
    END IF;
    IF span.starts >= span.ends THEN
        PERFORM kpi_admin.refuse('invalid_range', 'from must be before to');
    END IF;
    RETURN QUERY
    SELECT n.starts, n.year::text, n.year::text, 'year'
    FROM (
        SELECT y AS year, kpi_admin.day_start(zone, make_date(y, 1, 1)) AS starts FROM generate_series(2000, 2101) AS y
    ) AS n
    WHERE n.starts >= span.starts AND n.starts < span.ends
    UNION ALL
    SELECT s.at, kpi_http.label('experience', s.experience, ARRAY[s.tenant_no]), 'first data', 'experience'
    FROM kpi_fact.experience_start AS s
    WHERE s.tenant_no = ANY (kpi_http.tenant_numbers(q.conditions)) AND s.at >= span.starts AND s.at < span.ends
    ORDER BY 1, 2;
END
$$;

-- Return what POST /annotations answers: the years alone.
CREATE FUNCTION kpi_http.annotations(asked jsonb) RETURNS SETOF text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_object(
        'annotation', asked -> 'annotation', 'time', kpi_http.ms(m.at), 'title', m.title, 'text', m.text
    )::text
    FROM kpi_http.marks(kpi_http.read(asked || '{"list": "annotations"}')) AS m WHERE m.tags = 'year'
$$;
