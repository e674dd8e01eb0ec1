-- Lists of things, a JSON text a row.

-- The values of each dimension in each slice: menus read these few rows in place of the slices. A slice never changes, so
-- its row stays right for as long as the slice stands; a slice without one is read itself. So is one whose values hold
-- more than a row may: whoever can send records can send many long ones.
CREATE TABLE IF NOT EXISTS kpi_admin.slice_value (
    dim text NOT NULL, relation text NOT NULL, tenant_no integer NOT NULL, found text[] NOT NULL, PRIMARY KEY (dim, relation, tenant_no)
);

-- Return how many bytes of values are noted at most, of a dimension in a slice.
CREATE OR REPLACE FUNCTION kpi_admin.noted_bytes() RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT 100000000 $$;

-- Brings kpi_admin.slice_value up to date: for each refresh, after its slices. How many slices were read for it.
CREATE OR REPLACE FUNCTION kpi_admin.note_values() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    slice record;
    slices integer := 0;
BEGIN
    DELETE FROM kpi_admin.slice_value AS v WHERE NOT EXISTS (SELECT FROM kpi_admin.slice AS s WHERE s.relation = v.relation);
    FOR slice IN
        SELECT s.relation, string_agg(format(
            '(WITH d AS MATERIALIZED (SELECT DISTINCT tenant_no, %I AS v FROM kpi_slice.%I)
              SELECT %L, %L, tenant_no, array_agg(v) FROM d
              WHERE (SELECT sum(octet_length(v)) FROM d) <= %s GROUP BY tenant_no)',
            a.attname, s.relation, a.attname, s.relation, kpi_admin.noted_bytes()), ' UNION ALL ') AS found
        FROM kpi_admin.slice AS s
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = to_regclass(format('kpi_slice.%I', s.relation)) AND a.attnum > 0
        JOIN kpi_admin.dim AS d ON d.dim = a.attname AND d.parent_of IS NULL
        WHERE NOT EXISTS (SELECT FROM kpi_admin.slice_value AS v WHERE v.relation = s.relation)
        GROUP BY s.relation
    LOOP
        EXECUTE 'INSERT INTO kpi_admin.slice_value (dim, relation, tenant_no, found) ' || slice.found;
        slices := slices + 1;
    END LOOP;
    PERFORM kpi_admin.note_freshness();
    RETURN slices;
END
$$;
CREATE INDEX IF NOT EXISTS slice_value_relation ON kpi_admin.slice_value (relation);
SELECT kpi_admin.note_values();

-- Every value of a dimension that occurs in the asked tenants, under filters on other dimensions.
CREATE FUNCTION kpi_http.occurring(dim_name text, conditions jsonb) RETURNS TABLE (tenant_no integer, value text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    needed text[] := array_remove(dim_name || ARRAY(SELECT c ->> 'dim' FROM jsonb_array_elements(conditions) AS c), 'tenant');
    ranges kpi_admin.tenant_range[] := ARRAY(
        SELECT (t.tenant_no, t.tenant, t.zone, '1999-01-01', '2102-01-01', '1999-01-01', '2102-01-01', NULL, NULL, NULL, NULL)
            ::kpi_admin.tenant_range
        FROM kpi_admin.asked_tenants(conditions) AS t WHERE t.tenant_no IS NOT NULL
    );
    kpis text[] := ARRAY(SELECT u.kpi_id FROM kpi_admin.kpi AS u WHERE needed <@ u.dims AND u.fold NOT IN ('ratio', 'value', 'level'));
    columns text[] := ARRAY(SELECT DISTINCT coalesce(d.parent_of, d.dim) FROM kpi_admin.dim AS d WHERE d.dim = ANY (needed));
    k kpi_admin.kpi;
BEGIN
    IF needed = '{}' THEN
        RETURN QUERY SELECT r.tenant_no, r.tenant FROM unnest(ranges) AS r;
    ELSIF kpis = '{}' THEN
        PERFORM kpi_admin.refuse('unknown_dimension', format('no KPI has the dimensions %s', left(array_to_string(needed, ', '), 100)));
    ELSIF cardinality(columns) = 1 AND NOT EXISTS (
        SELECT FROM kpi_admin.slice AS s
        WHERE s.kpi_id = ANY (kpis) AND NOT EXISTS (SELECT FROM kpi_admin.slice_value AS v WHERE v.dim = columns[1] AND v.relation = s.relation)
    ) THEN
        RETURN QUERY EXECUTE (
            SELECT format(
                'SELECT DISTINCT s.tenant_no, %s
                 FROM (SELECT DISTINCT v.tenant_no, u.value AS %I
                       FROM kpi_admin.slice AS l JOIN kpi_admin.slice_value AS v ON v.dim = %L AND v.relation = l.relation CROSS JOIN unnest(v.found) AS u (value)
                       WHERE l.kpi_id = ANY ($1)) AS s
                 JOIN unnest($2) AS r ON r.tenant_no = s.tenant_no %s
                 WHERE NOT EXISTS (SELECT FROM jsonb_array_elements($3) AS c WHERE c ->> ''dim'' <> ''tenant'' AND NOT kpi_admin.meets(CASE c ->> ''dim'' %s END, c))',
                min(d.expression) FILTER (WHERE d.dim = dim_name), columns[1], columns[1],
                string_agg(DISTINCT d.join_sql, ' '), string_agg(format('WHEN %L THEN %s', d.dim, d.expression), ' '))
            FROM kpi_admin.dim AS d WHERE d.dim = ANY (needed || dim_name)
        ) USING kpis, ranges, conditions;
    ELSE
        FOR k IN SELECT * FROM kpi_admin.kpi WHERE kpi_id = ANY (kpis) LOOP
            RETURN QUERY
            SELECT n.tenant_no, f.dims[2] FROM kpi_admin.folded(k, ranges, false, 'total', conditions, ARRAY['tenant', dim_name], false) AS f
            JOIN kpi_data.tenant_number AS n ON n.tenant = f.dims[1];
        END LOOP;
    END IF;
END
$$;

-- Whether the dims of a thing meet the conditions on them.
CREATE FUNCTION kpi_http.meets(dims jsonb, conditions jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT EXISTS (
        SELECT FROM jsonb_array_elements(conditions) AS c
        WHERE c ->> 'dim' <> 'tenant' AND NOT kpi_admin.meets(dims ->> (c ->> 'dim'), c)
    )
$$;

-- Return dimensions with the names of their values beside them.
CREATE FUNCTION kpi_http.named(dims jsonb, tenants integer[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found jsonb := dims;
    entity_dim text;
BEGIN
    FOR entity_dim IN SELECT d.dim FROM kpi_admin.dim AS d WHERE d.entity IS NOT NULL AND dims ? d.dim LOOP
        found := found || jsonb_build_object(
            entity_dim || '_name', kpi_http.label(entity_dim, dims ->> entity_dim, tenants));
    END LOOP;
    RETURN found;
END
$$;

-- Return the ranges that a list of things in time is of: those of a KPI that counts them.
CREATE FUNCTION kpi_http.ranges(q kpi_http.question, kpi_id text) RETURNS SETOF kpi_admin.tenant_range
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.* FROM unnest((kpi_http.plan_of_tenants(q, kpi_id, '{}')).ranges) AS r WHERE r.first_day IS NOT NULL
$$;

-- Return the plan of a total that a list needs, of the asked tenants; the list's other conditions are its own.
CREATE FUNCTION kpi_http.plan_of_tenants(q kpi_http.question, kpi_id text, by text[]) RETURNS kpi_admin.plan
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    q.conditions := jsonb_path_query_array(q.conditions, '$[*] ? (@.dim == "tenant")');
    q.compare := NULL;
    q.all_groups := false;
    RETURN kpi_http.plan(q, kpi_id, 'total', by);
END
$$;

-- What every list gives: whose it is, in order; cells that come first; dims, by which it is filtered.
CREATE TYPE kpi_http.thing_row AS (tenant_no integer, cells json, dims jsonb);

CREATE FUNCTION kpi_http.list_nps_answers(q kpi_http.question) RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.tenant_no,
        json_build_object('time', kpi_http.ms(a.at), 'id', a.id,
            'name', coalesce(x.name, a.experience, 'no experience'), 'text', a.text),
        jsonb_build_object('experience', coalesce(a.experience, 'no experience'), 'score', a.score, 'segment',
            CASE WHEN a.score <= 6 THEN 'detractors' WHEN a.score <= 8 THEN 'passives' ELSE 'promoters' END,
            'folder', coalesce(x.folder, 'no folder'))
    FROM kpi_http.ranges(q, 'nps_answers') AS r
    -- OFFSET 0: asked as a join, a plan made before the ranges are known reads every tenant's answers of all times.
    CROSS JOIN LATERAL (
        SELECT e.at, e.id, e.experience, e.score, d.text
        FROM kpi_fact.event AS e JOIN kpi_data.event AS d ON d.tenant_no = e.tenant_no AND d.id = e.id
        WHERE e.tenant_no = r.tenant_no AND e.kind = 'nps' AND e.day >= r.first_day AND e.day < r.last_day
            AND e.at >= r.starts AND e.at < r.ends AND d.text IS NOT NULL
        OFFSET 0
    ) AS a
    LEFT JOIN kpi_data.experience AS x ON x.tenant_no = r.tenant_no AND x.id = a.experience
    ORDER BY a.at DESC, a.id COLLATE "C" DESC
$$;

CREATE FUNCTION kpi_http.url_encoded(part text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(string_agg(CASE WHEN c ~ '^[A-Za-z0-9_.~-]$' THEN c
        ELSE regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') END, '' ORDER BY i), '')
    FROM regexp_split_to_table(part, '') WITH ORDINALITY AS s (c, i)
$$;

CREATE FUNCTION kpi_http.list_after_sales(q kpi_http.question) RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.tenant_no, json_build_object('time', kpi_http.ms(a.at), 'id', v.conversation, 'name', v.conversation, 'conversation', v.conversation,
            'contact', c.contact,
            -- A record is anybody's: an address of another scheme (javascript:) would run where it is clicked.
            'url', CASE WHEN t.conversation_url ~* '^https?://'
                THEN replace(t.conversation_url, '{conversation}', kpi_http.url_encoded(v.conversation)) END),
        jsonb_build_object('channel', coalesce(a.channel, 'no touchpoint'))
    FROM kpi_http.ranges(q, 'after_sales_invited') AS r
    JOIN kpi_fact.after_sales AS a ON a.tenant_no = r.tenant_no AND a.day >= r.first_day AND a.day < r.last_day AND a.at >= r.starts AND a.at < r.ends
    JOIN kpi_fact.conversation AS v ON v.conversation_no = a.conversation_no
    LEFT JOIN kpi_fact.contact AS c ON c.contact_no = a.contact_no
    LEFT JOIN kpi_data.tenant AS t ON t.tenant_no = a.tenant_no
    WHERE CASE q.list WHEN 'after_sales_not_joined' THEN NOT a.joined ELSE a.joined AND NOT a.engaged END
    ORDER BY a.at DESC, v.conversation COLLATE "C" DESC
$$;

-- Entities of a kind by name, and the ids without a record.
CREATE FUNCTION kpi_http.list_entities(q kpi_http.question, kind_name text) RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.tenant_no, json_build_object('id', e.id, 'name', e.name, 'active', e.active), e.more || e.dims
    FROM (
        SELECT t.tenant_no, t.id, t.name, t.active, t.dims, t.more FROM kpi_admin.entity AS t
        WHERE t.kind = kind_name AND t.tenant_no = ANY (kpi_http.tenant_numbers(q.conditions))
        UNION ALL
        SELECT DISTINCT o.tenant_no, o.value, o.value, NULL::boolean,
            coalesce((SELECT jsonb_object_agg(d, 'no ' || d) FROM unnest(kpi_http.list_dims(q)) AS d), '{}'), '{}'::jsonb
        FROM kpi_http.occurring(kind_name, jsonb_path_query_array(q.conditions, '$[*] ? (@.dim == "tenant")')) AS o
        WHERE o.value <> CASE kind_name WHEN 'channel' THEN 'no touchpoint' ELSE 'no ' || kind_name END
            AND NOT EXISTS (SELECT FROM kpi_admin.entity AS t WHERE t.kind = kind_name AND t.tenant_no = o.tenant_no AND t.id = o.value)
    ) AS e
    ORDER BY e.name COLLATE "C", e.id COLLATE "C", e.tenant_no
$$;

-- Modules in their order, with all their visits whatever experience an event names.
CREATE FUNCTION kpi_http.list_modules(q kpi_http.question) RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH visits AS (
        SELECT n.tenant_no, a.dims[2] AS module, a.value
        FROM kpi_admin.answer(kpi_http.plan_of_tenants(q, 'module_visits', '{tenant,module}')) AS a
        JOIN kpi_data.tenant_number AS n ON n.tenant = a.dims[1]
    ), modules AS (
        SELECT m.tenant_no, m.cells ->> 'id' AS id, m.cells, m.dims, coalesce(v.value, 0) AS visits
        FROM kpi_http.list_entities(q, 'module') AS m LEFT JOIN visits AS v ON v.tenant_no = m.tenant_no AND v.module = m.cells ->> 'id'
        WHERE kpi_http.meets(m.dims, q.conditions)
    )
    SELECT m.tenant_no, json_build_object('id', m.id, 'name', m.cells -> 'name', 'active', m.cells -> 'active', 'visits', m.visits,
        'share', coalesce(trim_scale(m.visits / nullif(max(m.visits) OVER (), 0)), 0)), m.dims
    FROM modules AS m
    ORDER BY (m.dims ->> 'position')::integer NULLS LAST, m.id COLLATE "C", m.tenant_no
$$;

CREATE FUNCTION kpi_http.list_hits(q kpi_http.question) RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT n.tenant_no, json_build_object('time', kpi_http.ms(h.at), 'kind', h.kind, 'id', h.id, 'name', h.id,
        'contact', h.contact, 'conversation', h.conversation, 'amount', trim_scale(h.amount)), h.dims
    FROM kpi_admin.hits(kpi_http.plan(q, q.kpis[1], 'total', '{}'), 1000, q.skip)
        WITH ORDINALITY AS h (tenant_id, at, kind, id, contact, conversation, amount, dims, no)
    JOIN kpi_data.tenant_number AS n ON n.tenant = h.tenant_id
    ORDER BY h.no
$$;

-- Location, department, user, channel: the values of a KPI, each level's under the paths that are expanded.
CREATE FUNCTION kpi_http.list_tree(q kpi_http.question) RETURNS SETOF kpi_http.thing_row
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    steps text[] := '{location,department,user,channel}';
    k kpi_admin.kpi := kpi_admin.definition(coalesce(q.kpis[1], 'after_sales_sessions'));
    open_paths jsonb := '[]';
    path jsonb;
BEGIN
    IF jsonb_array_length(q.expanded) > 1000 THEN
        PERFORM kpi_admin.refuse('too_many_values', 'at most 1,000 paths are expanded');
    END IF;
    FOR path IN SELECT jsonb_array_elements(coalesce(q.expanded, '[]')) LOOP
        BEGIN
            path := CASE jsonb_typeof(path) WHEN 'string' THEN (path #>> '{}')::jsonb ELSE path END;
        EXCEPTION WHEN data_exception THEN
            path := NULL;
        END;
        IF jsonb_typeof(path) IS DISTINCT FROM 'array' THEN
            PERFORM kpi_admin.refuse('invalid_path', 'a path is the ids as a JSON list');
        END IF;
        open_paths := open_paths || jsonb_build_array(path);
    END LOOP;
    RETURN QUERY
    WITH nodes AS (
        SELECT n.tenant_no, n.tenant, s.level, a.dims[2:] AS ids, a.value,
            ARRAY(SELECT kpi_http.label(steps[i], a.dims[1 + i], ARRAY[n.tenant_no]) FROM generate_series(1, s.level) AS i) AS names
        FROM generate_series(1, least(4, 1 + (SELECT max(jsonb_array_length(o)) FROM jsonb_array_elements(open_paths || '[[]]') AS o))) AS s (level),
            kpi_admin.answer(kpi_http.plan(q, k.kpi_id, 'total', ARRAY['tenant'] || steps[1:s.level])) AS a
        JOIN kpi_data.tenant_number AS n ON n.tenant = a.dims[1]
        WHERE NOT EXISTS (
            SELECT FROM generate_series(1, s.level - 1) AS i
            WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(open_paths) AS o WHERE o = to_jsonb(a.dims[2:1 + i]))
        )
    )
    SELECT n.tenant_no, json_build_object('path', to_json(n.ids)::text, 'level', n.level, 'id', n.ids[n.level], 'name', n.names[n.level], 'value', trim_scale(n.value)), '{}'::jsonb
    FROM nodes AS n
    ORDER BY n.tenant COLLATE "C", ARRAY(SELECT p FROM unnest(n.names, n.ids) WITH ORDINALITY AS u (name, id, i), unnest(ARRAY[u.name, u.id]) WITH ORDINALITY AS v (p, j) ORDER BY u.i, v.j) COLLATE "C";
END
$$;

CREATE FUNCTION kpi_http.list_catalog() RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::integer, json_build_object('id', c.kpi_id, 'name', c.title, 'kpi_id', c.kpi_id, 'family', c.family, 'title', c.title, 'description', c.description,
        'title_nl', c.title_nl, 'description_nl', c.description_nl, 'unit', c.unit, 'counting', c.counting,
        'dims', array_to_string(c.dims, ', '), 'view_name', c.view_name, 'source', c.source), '{}'::jsonb
    FROM kpi.catalog AS c
$$;

CREATE FUNCTION kpi_http.list_freshness() RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::integer, json_build_object('id', f.view_name, 'name', f.view_name, 'view_name', f.view_name, 'kpi_ids', array_to_string(f.kpi_ids, ', '),
        'refreshed_at', kpi_http.ms(f.refreshed_at), 'newest_event', kpi_http.ms(f.newest_event), 'behind', trim_scale(extract(epoch FROM f.behind)),
        'loaded_at', kpi_http.ms(f.loaded_at)), '{}'::jsonb
    FROM kpi.freshness AS f
$$;

CREATE FUNCTION kpi_http.list_range(q kpi_http.question) RETURNS SETOF kpi_http.thing_row
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::integer, json_build_object('id', 'range', 'name', 'range', 'first', kpi_http.ms(min(ends.first)),
        'last', kpi_http.ms(max(ends.last)), 'now', kpi_http.ms(kpi_admin.now())), '{}'::jsonb
    FROM (
        SELECT (SELECT e.at FROM kpi_fact.event AS e WHERE e.tenant_no = t.tenant_no ORDER BY e.at LIMIT 1) AS first, (
            SELECT e.at FROM kpi_fact.event AS e
            WHERE e.tenant_no = t.tenant_no AND e.at <= kpi_admin.now() ORDER BY e.at DESC LIMIT 1
        ) AS last
        FROM unnest(kpi_http.tenant_numbers(q.conditions)) AS t (tenant_no)
    ) AS ends
$$;

-- Whether a list is of things in time, and so needs a range.
CREATE FUNCTION kpi_http.has_range(list text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT list IN ('nps_answers', 'after_sales_not_joined', 'after_sales_not_engaged', 'modules', 'hits', 'after_sales_tree',
        'annotations')
$$;

-- The dimensions by which a list can be filtered, besides tenant; refuses a list that there is not.
CREATE FUNCTION kpi_http.list_dims(q kpi_http.question) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF q.list IN ('hits', 'after_sales_tree') THEN
        RETURN (kpi_admin.definition(coalesce(q.kpis[1], 'after_sales_sessions'))).dims;
    ELSIF q.list NOT IN ('nps_answers', 'after_sales_not_joined', 'after_sales_not_engaged', 'modules', 'channels', 'users', 'locations', 'departments',
        'inboxes', 'experiences', 'folders', 'bots', 'catalog', 'freshness', 'range', 'tenants', 'installation')
    THEN
        RAISE EXCEPTION USING ERRCODE = 'KP404', CONSTRAINT = 'unknown_list', MESSAGE = format('there is no list %s', left(q.list, 100));
    END IF;
    RETURN CASE q.list
        WHEN 'nps_answers' THEN '{experience,folder,score,segment}'  -- the folder filters, and stands in no row
        WHEN 'after_sales_not_joined' THEN '{channel}'
        WHEN 'after_sales_not_engaged' THEN '{channel}'
        WHEN 'modules' THEN '{experience,module_type}'
        WHEN 'users' THEN '{role,level,department,location}'
        WHEN 'departments' THEN '{location}'
        WHEN 'inboxes' THEN '{department}'
        WHEN 'experiences' THEN '{folder}'
        ELSE '{}'
    END::text[];
END
$$;

-- The rows of a list as JSON texts.
CREATE FUNCTION kpi_http.list(q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    allowed text[] := kpi_http.list_dims(q) || ARRAY['tenant'];
    stranger text := (SELECT c ->> 'dim' FROM jsonb_array_elements(q.conditions) AS c WHERE NOT c ->> 'dim' = ANY (allowed) LIMIT 1);
    several boolean := (SELECT count(*) > 1 FROM kpi_admin.asked_tenants(q.conditions));
    -- What the function that lists them has filtered itself.
    filtered boolean := q.list IN ('hits', 'after_sales_tree', 'modules');
BEGIN
    IF stranger IS NOT NULL THEN
        PERFORM kpi_admin.refuse('unknown_dimension',
            format('the list %s has no dimension %s', q.list, left(stranger, 100)),
            'It has: ' || array_to_string(allowed, ', ') || '.');
    END IF;
    IF jsonb_path_exists(q.conditions, '$[*] ? (@.dim == "segment" && @.op == "=").values[*]
        ? (@ != "detractors" && @ != "passives" && @ != "promoters")')
    THEN
        PERFORM kpi_admin.refuse('unknown_segment', 'there is no such segment', 'It is detractors, passives or promoters.');
    END IF;
    -- Many things have the same dimensions, which are named once.
    RETURN QUERY EXECUTE format(
        'WITH things AS MATERIALIZED (
            SELECT l.* FROM kpi_http.%s WITH ORDINALITY AS l (tenant_no, cells, dims, no)
            WHERE $4 OR kpi_http.meets(l.dims, $2) ORDER BY l.no LIMIT 10000
        ), named AS MATERIALIZED (
            SELECT t.tenant_no, t.dims, kpi_http.named(t.dims%s, ARRAY[t.tenant_no])::text AS names
            FROM (SELECT DISTINCT things.tenant_no, things.dims FROM things) AS t
        ), tenants AS MATERIALIZED (
            SELECT e.tenant_no, format(''"tenant":%%s,"tenant_name":%%s'', to_json(e.id), to_json(e.name)) AS tenant
            FROM kpi_admin.entity AS e WHERE $3 AND e.kind = ''tenant''
        )
        SELECT ''{'' || concat_ws('','', o.tenant, substr(l.cells::text, 2, length(l.cells::text) - 2),
            nullif(substr(n.names, 2, length(n.names) - 2), '''')) || ''}''
        FROM things AS l
        JOIN named AS n ON n.dims = l.dims AND n.tenant_no IS NOT DISTINCT FROM l.tenant_no
        LEFT JOIN tenants AS o ON o.tenant_no = l.tenant_no
        ORDER BY l.no',
        CASE q.list
            WHEN 'nps_answers' THEN 'list_nps_answers($1)'
            WHEN 'after_sales_not_joined' THEN 'list_after_sales($1)'
            WHEN 'after_sales_not_engaged' THEN 'list_after_sales($1)'
            WHEN 'modules' THEN 'list_modules($1)'
            WHEN 'hits' THEN 'list_hits($1)'
            WHEN 'after_sales_tree' THEN 'list_tree($1)'
            WHEN 'catalog' THEN 'list_catalog()'
            WHEN 'freshness' THEN 'list_freshness()'
            WHEN 'range' THEN 'list_range($1)'
            WHEN 'tenants' THEN 'list_tenants($1)'
            WHEN 'installation' THEN 'list_installation()'
            ELSE format('list_entities($1, %L)', CASE q.list WHEN 'inboxes' THEN 'inbox' ELSE rtrim(q.list, 's') END)
        END,
        CASE q.list WHEN 'nps_answers' THEN ' - ''folder''' ELSE '' END
    ) USING q, q.conditions, several, filtered;
END
$$;
