-- Answers as the server sends them: a JSON text for each row or series, numbers as they are, keys in order.

-- Return the values of a group as cells, each with its name after it: value, name, value, name, … Grouped by tenant,
-- the names are that tenant's.
CREATE FUNCTION kpi_http.labelled(by text[], dims text[], asked_tenants integer[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(cells.cell ORDER BY dim.place, cells.cell_place), '{}')
    FROM (
        SELECT array_agg(tenant_no) AS tenants FROM kpi_data.tenant_number
        WHERE tenant = dims[array_position(by, 'tenant')]
    ) AS own
    CROSS JOIN unnest(by, dims) WITH ORDINALITY AS dim (name, value, place)
    CROSS JOIN LATERAL (
        VALUES (1, dim.value), (2, kpi_http.label(dim.name, dim.value, coalesce(own.tenants, asked_tenants)))
    ) AS cells (cell_place, cell)
$$;

-- Return each of some texts as a JSON text.
CREATE FUNCTION kpi_http.quoted(texts text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(SELECT to_json(t)::text FROM unnest(texts) AS t)
$$;

-- Return the points of an answer, numbered in order: the time of one in a series, its group with the names of the
-- values (plain, and as JSON), its numbers as JSON.
CREATE FUNCTION kpi_http.points(q kpi_http.question)
RETURNS TABLE (no bigint, at bigint, labels text[], quoted text[], numbers text[])
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
            SELECT place, kpi_admin.nothing((q.plans[place]).kpi) AS nothing
            FROM generate_subscripts(q.plans, 1) AS place
        ), totals AS MATERIALIZED (
            SELECT kpis.place, total.dims, total.value
            FROM kpis CROSS JOIN LATERAL kpi_admin.answer(q.plans[kpis.place]) AS total
        ), groups AS (
            SELECT listed.dims, kpi_http.labelled(q."by", listed.dims, tenants) AS labels
            FROM (SELECT DISTINCT totals.dims FROM totals) AS listed
        )
        SELECT row_number() OVER (ORDER BY groups.dims COLLATE "C"), NULL::bigint,
            groups.labels, kpi_http.quoted(groups.labels),
            array_agg(
                kpi_http.number(CASE WHEN totals.place IS NULL THEN kpis.nothing ELSE totals.value END)
                ORDER BY kpis.place
            )
        FROM groups
        CROSS JOIN kpis
        LEFT JOIN totals ON totals.place = kpis.place AND totals.dims = groups.dims
        GROUP BY groups.dims, groups.labels;
    ELSE
        RETURN QUERY
        WITH answered AS MATERIALIZED (
            SELECT * FROM kpi_admin.answer(q.plans[1]) WITH ORDINALITY AS point (at, dims, value, compared, place)
        ), groups AS MATERIALIZED (
            SELECT listed.dims, kpi_http.labelled(q."by", listed.dims, tenants) AS labels
            FROM (SELECT DISTINCT answered.dims FROM answered) AS listed
        ), quoted_groups AS MATERIALIZED (
            SELECT groups.dims, groups.labels, kpi_http.quoted(groups.labels) AS quoted FROM groups
        )
        SELECT point.place, kpi_http.ms(point.at), quoted_groups.labels, quoted_groups.quoted,
            CASE
                WHEN q.compare IS NULL THEN ARRAY[kpi_http.number(point.value)]
                ELSE ARRAY[kpi_http.number(point.value), kpi_http.number(point.compared)]
            END
        FROM answered AS point JOIN quoted_groups USING (dims);
    END IF;
END
$$;

-- Return the columns of an answer, numbered in order, each with its type.
CREATE FUNCTION kpi_http.columns(q kpi_http.question) RETURNS TABLE (no bigint, name text, kind text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH names AS (
        SELECT
            CASE WHEN q.shape IN ('total', 'distribution') THEN '{}' ELSE '{time}' END::text[] AS times,
            CASE
                WHEN q.shape = 'distribution' THEN '{hour}'
                ELSE ARRAY(
                    SELECT cell
                    FROM unnest(q."by") WITH ORDINALITY AS dim (name, place)
                    CROSS JOIN LATERAL unnest(ARRAY[dim.name, dim.name || '_name'])
                        WITH ORDINALITY AS cells (cell, cell_place)
                    ORDER BY dim.place, cells.cell_place
                )
            END::text[] AS texts,
            CASE
                WHEN q.shape = 'distribution' THEN '{mon,tue,wed,thu,fri,sat,sun}'
                WHEN q.side_by_side THEN q.kpis
                WHEN q.compare IS NOT NULL THEN ARRAY['value', q.compare]
                ELSE '{value}'
            END::text[] AS numbers
    )
    SELECT columns.no, columns.name, CASE
        WHEN columns.no <= cardinality(names.times) THEN 'time'
        WHEN columns.no <= cardinality(names.times) + cardinality(names.texts) THEN 'string'
        ELSE 'number'
    END
    FROM names
    CROSS JOIN LATERAL unnest(names.times || names.texts || names.numbers) WITH ORDINALITY AS columns (name, no)
$$;

-- Return rows of cells as JSON, numbered in order.
CREATE FUNCTION kpi_http.cells(q kpi_http.question) RETURNS TABLE (no bigint, cells text[])
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT point.no,
        CASE WHEN point.at IS NULL THEN point.quoted ELSE point.at::text || point.quoted END || point.numbers
    FROM kpi_http.points(q) AS point
$$;

-- Return what POST /rows answers: an object a row.
CREATE FUNCTION kpi_http.rows(q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    object text := (
        SELECT '{'
            || string_agg(replace(to_json(columns.name)::text, '%', '%%') || ':%s', ',' ORDER BY columns.no) || '}'
        FROM kpi_http.columns(q) AS columns
    );
BEGIN
    IF q.list IS NOT NULL THEN
        RETURN QUERY SELECT kpi_http.list(q);
    ELSE
        RETURN QUERY SELECT format(object, VARIADIC row.cells) FROM kpi_http.cells(q) AS row ORDER BY row.no;
    END IF;
END
$$;

-- Return the names of the rows' fields, for a file's first line, which an empty answer has too.
CREATE FUNCTION kpi_http.column_names(q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF q.list IS NULL THEN
        RETURN QUERY SELECT columns.name FROM kpi_http.columns(q) AS columns ORDER BY columns.no;
    ELSE
        RETURN QUERY SELECT unnest(kpi_http.list_columns(q));
    END IF;
END
$$;

-- Return every other of some texts, from a place on.
CREATE FUNCTION kpi_http.every_other(texts text[], first integer) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(SELECT texts[place] FROM generate_series(first, cardinality(texts), 2) AS place ORDER BY place)
$$;

-- Return what POST /query answers: a series for each group, with what it is compared with right after it; or one table.
CREATE FUNCTION kpi_http.frames(q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ref text := coalesce(',"refId":' || to_json(q."refId")::text, '');
    title text := (SELECT kpi.title FROM kpi_admin.kpi AS kpi WHERE kpi.kpi_id = q.kpis[1]);
BEGIN
    IF q.list = 'annotations' THEN
        RETURN QUERY
        SELECT '{"type":"table","columns":[{"text":"time","type":"time"},{"text":"title","type":"string"},'
            '{"text":"text","type":"string"},{"text":"tags","type":"string"}],"rows":['
            || coalesce(string_agg(
                json_build_array(kpi_http.ms(mark.at), mark.title, mark.text, mark.tags)::text, ','
                ORDER BY mark.at, mark.title
            ), '')
            || ']' || ref || '}'
        FROM kpi_http.marks(q) AS mark;
        RETURN;
    ELSIF q.shape NOT IN ('series', 'cumulative') THEN
        RETURN QUERY
        SELECT '{"type":"table","columns":'
            || (
                SELECT json_agg(json_build_object('text', columns.name, 'type', columns.kind) ORDER BY columns.no)
                FROM kpi_http.columns(q) AS columns
            )::text
            || ',"rows":['
            || coalesce(string_agg('[' || array_to_string(row.cells, ',') || ']', ',' ORDER BY row.no), '')
            || ']' || ref || '}'
        FROM kpi_http.cells(q) AS row;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT '{"target":' || to_json(
            CASE WHEN q."by" = '{}' THEN title ELSE array_to_string(kpi_http.every_other(series.labels, 2), ', ') END
            || CASE WHEN series.is_compared THEN format(' (%s)', q.compare) ELSE '' END
        )::text || ',"datapoints":[' || series.points || ']' || ref || '}'
    FROM (
        SELECT point.labels, number.place = 2 AS is_compared,
            string_agg(format('[%s,%s]', number.value, point.at), ',' ORDER BY point.no) AS points
        FROM kpi_http.points(q) AS point
        CROSS JOIN LATERAL unnest(point.numbers) WITH ORDINALITY AS number (value, place)
        GROUP BY point.labels, is_compared
    ) AS series
    ORDER BY kpi_http.every_other(series.labels, 1) COLLATE "C", series.is_compared;
    IF NOT FOUND AND cardinality(q."by") = 0 THEN  -- nothing is left of the range
        RETURN QUERY
        SELECT '{"target":' || to_json(title || suffix)::text || ',"datapoints":[]' || ref || '}'
        FROM unnest(
            CASE WHEN q.compare IS NULL THEN ARRAY[''] ELSE ARRAY['', format(' (%s)', q.compare)] END
        ) AS suffix;
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
    IF q.list IS NOT NULL
        AND NOT (SELECT known.is_kept FROM kpi_http.known_lists() AS known WHERE known.name = q.list)
    THEN
        RETURN NULL;
    END IF;
    q.bucket := coalesce(q.bucket, 'auto');
    q.filters := (
        SELECT jsonb_agg(DISTINCT jsonb_build_object('dim', condition -> 'dim', 'op', condition -> 'op', 'values',
            (SELECT jsonb_agg(DISTINCT value) FROM jsonb_array_elements(condition -> 'values') AS value)))
        FROM jsonb_array_elements(kpi_admin.conditions(q.filters)) AS condition
    );
    RETURN json_build_array(
        q, current_setting('kpi.every_tenant', true),
        (SELECT array_agg(id ORDER BY id COLLATE "C") FROM unnest(kpi_admin.visible_tenants()) AS id),
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
