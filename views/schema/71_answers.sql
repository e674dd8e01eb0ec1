-- Answers as the server sends them: a JSON text for each row or series, numbers as they are, keys in order.

-- The names of a group's dimensions and values as cells: value, name, value, name, … Grouped by tenant they are that tenant's.
CREATE FUNCTION kpi_http.labelled(by text[], dims text[], asked_tenants integer[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(c.cell ORDER BY n.i, c.j), '{}')
    FROM (SELECT array_agg(tenant_no) AS tenants FROM kpi_data.tenant_number WHERE tenant = dims[array_position(by, 'tenant')]) AS own,
        unnest(by) WITH ORDINALITY AS n (dim, i),
        LATERAL (VALUES (1, dims[n.i]), (2, kpi_http.label(n.dim, dims[n.i], coalesce(own.tenants, asked_tenants)))) AS c (j, cell)
$$;

CREATE FUNCTION kpi_http.quoted(texts text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT ARRAY(SELECT to_json(t)::text FROM unnest(texts) AS t) $$;

-- The points of an answer in order: the time of a series, the group with its names (plain, and as JSON), the numbers as JSON.
CREATE FUNCTION kpi_http.points(q kpi_http.question) RETURNS TABLE (no bigint, at bigint, labels text[], quoted text[], numbers text[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenants integer[] := CASE WHEN q."by" <> '{}' THEN kpi_http.tenant_numbers(q.conditions) END;
BEGIN
    IF q.shape = 'distribution' THEN
        RETURN QUERY
        SELECT d.hour::bigint, NULL::bigint, ARRAY[d.hour], ARRAY[to_json(d.hour)::text],
            array_agg(kpi_http.number(d.value) ORDER BY d.weekday)
        FROM kpi_admin.distribution(q.plans[1]) AS d GROUP BY d.hour;
    ELSIF q.side_by_side THEN
        RETURN QUERY
        WITH kpis AS (
            SELECT u.place, kpi_admin.nothing((q.plans[u.place]).kpi) AS nothing
            FROM generate_subscripts(q.plans, 1) AS u (place)
        ), totals AS MATERIALIZED (
            SELECT kpis.place, a.dims, a.value FROM kpis, kpi_admin.answer(q.plans[kpis.place]) AS a
        )
        SELECT row_number() OVER (ORDER BY g.dims COLLATE "C"), NULL::bigint, l.labels, kpi_http.quoted(l.labels),
            array_agg(kpi_http.number(CASE WHEN t.place IS NULL THEN kpis.nothing ELSE t.value END) ORDER BY kpis.place)
        FROM (SELECT DISTINCT totals.dims FROM totals) AS g
        CROSS JOIN LATERAL (SELECT kpi_http.labelled(q."by", g.dims, tenants) AS labels) AS l
        CROSS JOIN kpis LEFT JOIN totals AS t ON t.place = kpis.place AND t.dims = g.dims
        GROUP BY g.dims, l.labels;
    ELSE
        RETURN QUERY
        WITH p AS MATERIALIZED (
            SELECT * FROM kpi_admin.answer(q.plans[1]) WITH ORDINALITY AS a (at, dims, value, compared, no)
        ), g AS MATERIALIZED (
            SELECT d.dims, l.labels, kpi_http.quoted(l.labels) AS quoted
            FROM (SELECT DISTINCT p.dims FROM p) AS d, LATERAL (SELECT kpi_http.labelled(q."by", d.dims, tenants) AS labels) AS l
        )
        SELECT p.no, kpi_http.ms(p.at), g.labels, g.quoted,
            kpi_http.number(p.value) || CASE WHEN q.compare IS NULL THEN '{}' ELSE ARRAY[kpi_http.number(p.compared)] END
        FROM p JOIN g USING (dims);
    END IF;
END
$$;

-- The columns of an answer, each with its type.
CREATE FUNCTION kpi_http.columns(q kpi_http.question) RETURNS TABLE (no bigint, name text, kind text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT row_number() OVER (ORDER BY c.part, c.i), c.name, CASE c.part WHEN 1 THEN 'time' WHEN 2 THEN 'string' ELSE 'number' END
    FROM (
        SELECT 1 AS part, 1::numeric AS i, 'time' AS name WHERE q.shape NOT IN ('total', 'distribution')
        UNION ALL SELECT 2, d.i, d.dim FROM unnest(q."by") WITH ORDINALITY AS d (dim, i)
        UNION ALL SELECT 2, d.i + 0.5, d.dim || '_name' FROM unnest(q."by") WITH ORDINALITY AS d (dim, i)
        UNION ALL SELECT 2, 1, 'hour' WHERE q.shape = 'distribution'
        UNION ALL SELECT 3, m.i, m.name FROM unnest(CASE
            WHEN q.shape = 'distribution' THEN '{mon,tue,wed,thu,fri,sat,sun}'::text[]
            WHEN q.side_by_side THEN q.kpis
            WHEN q.compare IS NOT NULL THEN ARRAY['value', q.compare]
            ELSE '{value}'
        END) WITH ORDINALITY AS m (name, i)
    ) AS c
$$;

-- Rows of cells as JSON, in order.
CREATE FUNCTION kpi_http.cells(q kpi_http.question) RETURNS TABLE (no bigint, cells text[])
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.no, CASE WHEN p.at IS NULL THEN p.quoted ELSE p.at::text || p.quoted END || p.numbers
    FROM kpi_http.points(q) AS p
$$;

-- Return what POST /rows answers: an object a row.
CREATE FUNCTION kpi_http.rows(q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    object text := (SELECT '{' || string_agg(replace(to_json(c.name)::text, '%', '%%') || ':%s', ',' ORDER BY c.no) || '}' FROM kpi_http.columns(q) AS c);
BEGIN
    IF q.list IS NOT NULL THEN
        RETURN QUERY SELECT kpi_http.list(q);
    ELSE
        RETURN QUERY SELECT format(object, VARIADIC c.cells) FROM kpi_http.cells(q) AS c ORDER BY c.no;
    END IF;
END
$$;

-- The columns of the rows, for a file's first line, which an empty answer has too.
CREATE FUNCTION kpi_http.column_names(q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF q.list IS NULL THEN
        RETURN QUERY SELECT c.name FROM kpi_http.columns(q) AS c ORDER BY c.no;
    ELSE
        RETURN QUERY SELECT unnest('{tenant,tenant_name}'::text[]) WHERE cardinality(kpi_http.tenant_numbers(q.conditions)) > 1;
        RETURN QUERY SELECT unnest('{time,id,name,experience,experience_name,score,segment,text}'::text[]);
    END IF;
END
$$;

-- POST /query: a series for each group and, compared, one more right after it; or one table.
CREATE FUNCTION kpi_http.frames(q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ref text := coalesce(',"refId":' || to_json(q."refId")::text, '');
    title text := (SELECT k.title FROM kpi_admin.kpi AS k WHERE k.kpi_id = q.kpis[1]);
BEGIN
    IF q.list = 'annotations' THEN
        RETURN QUERY
        SELECT '{"type":"table","columns":[{"text":"time","type":"time"},{"text":"title","type":"string"},{"text":"text","type":"string"},{"text":"tags","type":"string"}],"rows":['
            || coalesce(string_agg(json_build_array(kpi_http.ms(m.at), m.title, m.text, m.tags)::text, ',' ORDER BY m.at, m.title), '') || ']' || ref || '}'
        FROM kpi_http.marks(q) AS m;
        RETURN;
    ELSIF q.shape NOT IN ('series', 'cumulative') THEN
        RETURN QUERY
        SELECT '{"type":"table","columns":' || (SELECT json_agg(json_build_object('text', c.name, 'type', c.kind) ORDER BY c.no) FROM kpi_http.columns(q) AS c)::text
            || ',"rows":[' || coalesce(string_agg('[' || array_to_string(r.cells, ',') || ']', ',' ORDER BY r.no), '') || ']' || ref || '}'
        FROM kpi_http.cells(q) AS r;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT '{"target":' || to_json(CASE WHEN q."by" = '{}' THEN title ELSE
            (SELECT string_agg(l.name, ', ' ORDER BY l.i) FROM unnest(s.labels) WITH ORDINALITY AS l (name, i) WHERE l.i % 2 = 0)
        END || CASE s.i WHEN 1 THEN '' ELSE format(' (%s)', q.compare) END)::text || ',"datapoints":[' || s.points || ']' || ref || '}'
    FROM (
        SELECT p.labels, n.i, string_agg(format('[%s,%s]', n.number, p.at), ',' ORDER BY p.no) AS points,
            ARRAY(SELECT l.id FROM unnest(p.labels) WITH ORDINALITY AS l (id, i) WHERE l.i % 2 = 1 ORDER BY l.i) AS ids
        FROM kpi_http.points(q) AS p, unnest(p.numbers) WITH ORDINALITY AS n (number, i)
        GROUP BY p.labels, n.i
    ) AS s
    ORDER BY s.ids COLLATE "C", s.i;
    IF NOT FOUND AND cardinality(q."by") = 0 THEN  -- nothing is left of the range
        RETURN QUERY
        SELECT '{"target":' || to_json(title || s)::text || ',"datapoints":[]' || ref || '}'
        FROM unnest(CASE WHEN q.compare IS NULL THEN ARRAY[''] ELSE ARRAY['', format(' (%s)', q.compare)] END) AS s;
    END IF;
END
$$;

-- Return the key under which an answer may be kept: equal keys have equal answers. Null: never keep it, for it changes
-- with the clock or with what nothing here names.
CREATE FUNCTION kpi_http.understood(asked jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    q kpi_http.question := kpi_http.fields(asked);
BEGIN
    IF q.list IN ('range', 'freshness', 'tenants', 'installation') THEN
        RETURN NULL;
    END IF;
    q.bucket := coalesce(q.bucket, 'auto');
    q.filters := (
        SELECT jsonb_agg(DISTINCT jsonb_build_object('dim', c -> 'dim', 'op', c -> 'op', 'values',
            (SELECT jsonb_agg(DISTINCT v) FROM jsonb_array_elements(c -> 'values') AS v)))
        FROM jsonb_array_elements(kpi_admin.conditions(q.filters)) AS c
    );
    RETURN json_build_array(
        q, current_setting('kpi.every_tenant', true),
        (SELECT array_agg(v ORDER BY v COLLATE "C") FROM unnest(kpi_admin.visible_tenants()) AS v),
        -- Definitions; numbers; names and parents of entities, which show at once.
        'kpi_http'::regnamespace::oid, (SELECT s.generation FROM kpi_admin.state AS s),
        (SELECT max(l.load_no) FROM kpi_admin.load AS l),
        -- Where now may cut the range, or has lately, an answer holds for a quarter of an hour: no local hour ends
        -- within one.
        CASE WHEN q.last IS NOT NULL OR q.ends > kpi_admin.now() - interval '2 days'
            THEN floor(extract(epoch FROM kpi_admin.now()) / 900) END
    )::text;
END
$$;
