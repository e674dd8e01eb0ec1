-- Lists of things in place of a KPI's numbers: a JSON text for each row. datasource/catalog/lists.toml declares them.

-- Return every value of a dimension that occurs in the asked tenants, under conditions on other dimensions.
CREATE FUNCTION kpi_http.occurring(dim_name text, conditions jsonb) RETURNS TABLE (tenant_no integer, value text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    needed text[] := array_remove(
        dim_name || ARRAY(SELECT condition ->> 'dim' FROM jsonb_array_elements(conditions) AS condition), 'tenant'
    );
    -- Of all time: the first and the last days are those before and after which there are no events.
    ranges kpi_admin.tenant_range[] := ARRAY(
        SELECT (asked.tenant_no, asked.tenant, asked.zone, '1999-01-01', '2102-01-01', '1999-01-01', '2102-01-01',
            NULL, NULL, NULL, NULL)::kpi_admin.tenant_range
        FROM kpi_admin.asked_tenants(conditions) AS asked WHERE asked.tenant_no IS NOT NULL
    );
    kpis text[] := ARRAY(
        SELECT kpi.kpi_id FROM kpi_admin.kpi AS kpi
        WHERE needed <@ kpi.dims AND kpi.fold NOT IN ('ratio', 'value', 'level')
    );
    columns text[] := ARRAY(
        SELECT DISTINCT coalesce(dim.parent_of, dim.dim) FROM kpi_admin.dim AS dim WHERE dim.dim = ANY (needed)
    );
    k kpi_admin.kpi;
BEGIN
    IF needed = '{}' THEN
        RETURN QUERY SELECT asked.tenant_no, asked.tenant FROM unnest(ranges) AS asked;
    ELSIF kpis = '{}' THEN
        PERFORM kpi_admin.refuse('unknown_dimension',
            format('no KPI has the dimensions %s', left(array_to_string(needed, ', '), 100)));
    ELSIF cardinality(columns) = 1 AND NOT EXISTS (
        SELECT FROM kpi_admin.slice AS slice
        WHERE slice.kpi_id = ANY (kpis) AND NOT EXISTS (
            SELECT FROM kpi_admin.slice_value AS noted WHERE noted.dim = columns[1] AND noted.relation = slice.relation
        )
    ) THEN
        -- `s` and `r` are the names that the texts of kpi_admin.dim have for these rows.
        RETURN QUERY EXECUTE (
            SELECT format(
                'SELECT DISTINCT s.tenant_no, %s
                 FROM (
                     SELECT DISTINCT noted.tenant_no, found.value AS %I
                     FROM kpi_admin.slice AS slice
                     JOIN kpi_admin.slice_value AS noted ON noted.dim = %L AND noted.relation = slice.relation
                     CROSS JOIN unnest(noted.found) AS found (value)
                     WHERE slice.kpi_id = ANY ($1)
                         -- Here, too, so that no condition is tried on a value of another tenant.
                         AND noted.tenant_no = ANY (ARRAY(SELECT own.tenant_no FROM unnest($2) AS own))
                 ) AS s
                 JOIN unnest($2) AS r ON r.tenant_no = s.tenant_no %s
                 WHERE NOT EXISTS (
                     SELECT FROM jsonb_array_elements($3) AS condition
                     WHERE condition ->> ''dim'' <> ''tenant''
                         AND NOT kpi_admin.meets(CASE condition ->> ''dim'' %s END, condition)
                 )',
                min(dim.expression) FILTER (WHERE dim.dim = dim_name), columns[1], columns[1],
                string_agg(DISTINCT dim.join_sql, ' '),
                string_agg(format('WHEN %L THEN %s', dim.dim, dim.expression), ' '))
            FROM kpi_admin.dim AS dim WHERE dim.dim = ANY (needed || dim_name)
        ) USING kpis, ranges, conditions;
    ELSE
        FOR k IN SELECT * FROM kpi_admin.kpi WHERE kpi_id = ANY (kpis) LOOP
            RETURN QUERY
            SELECT number.tenant_no, folded.dims[2]
            FROM kpi_admin.folded(k, ranges, false, 'total', conditions, ARRAY['tenant', dim_name], false) AS folded
            JOIN kpi_data.tenant_number AS number ON number.tenant = folded.dims[1];
        END LOOP;
    END IF;
END
$$;

-- Return whether the dimensions of a thing meet the conditions on them.
CREATE FUNCTION kpi_http.meets(dims jsonb, conditions jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT EXISTS (
        SELECT FROM jsonb_array_elements(conditions) AS condition
        WHERE condition ->> 'dim' <> 'tenant' AND NOT kpi_admin.meets(dims ->> (condition ->> 'dim'), condition)
    )
$$;

-- Return dimensions with the names of their values beside them.
CREATE FUNCTION kpi_http.named(dims jsonb, tenants integer[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named jsonb := dims;
    entity_dim text;
BEGIN
    FOR entity_dim IN SELECT dim.dim FROM kpi_admin.dim AS dim WHERE dim.entity IS NOT NULL AND dims ? dim.dim LOOP
        named := named || jsonb_build_object(
            entity_dim || '_name', kpi_http.label(entity_dim, dims ->> entity_dim, tenants));
    END LOOP;
    RETURN named;
END
$$;

-- Return the ranges that a list of things in time is of: those of a KPI that counts them.
CREATE FUNCTION kpi_http.ranges(q kpi_http.question, kpi_id text) RETURNS SETOF kpi_admin.tenant_range
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT range.* FROM unnest((kpi_http.plan_of_tenants(q, kpi_id, '{}')).ranges) AS range
    WHERE range.first_day IS NOT NULL
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

-- Return the KPI that a list is of: the one that is asked for, or the list's own. Null for a list that is of none.
CREATE FUNCTION kpi_http.kpi_of_list(q kpi_http.question) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(q.kpis[1], known.default_kpi) FROM kpi_http.known_lists() AS known
    WHERE known.name = q.list AND (known.needs_kpi OR known.default_kpi IS NOT NULL)
$$;

-- Return the dimensions by which a list can be filtered, besides tenant.
CREATE FUNCTION kpi_http.list_dims(q kpi_http.question) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kpi_id text := kpi_http.kpi_of_list(q);
BEGIN
    IF kpi_id IS NOT NULL THEN
        RETURN (kpi_admin.definition(kpi_id)).dims;
    END IF;
    RETURN (kpi_http.known(q.list)).dims;
END
$$;

-- Return whether more than one tenant is asked for.
CREATE FUNCTION kpi_http.several_tenants(q kpi_http.question) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) > 1 FROM kpi_admin.asked_tenants(q.conditions)
$$;

-- Return the fields of a list's rows, in order.
CREATE FUNCTION kpi_http.list_columns(q kpi_http.question) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known kpi_http.known_list := kpi_http.known(q.list);
    columns text[] := known.columns;
BEGIN
    IF known.names_tenant AND kpi_http.several_tenants(q) THEN
        columns := '{tenant,tenant_name}'::text[] || columns;
    END IF;
    IF known.shows_dims_of_kpi THEN
        columns := columns || ARRAY(
            SELECT fields.field
            FROM unnest(kpi_http.list_dims(q)) WITH ORDINALITY AS shown (dim, place)
            JOIN kpi_admin.dim AS dim ON dim.dim = shown.dim
            CROSS JOIN LATERAL (VALUES (1, dim.dim), (2, dim.dim || '_name')) AS fields (field_place, field)
            WHERE fields.field_place = 1 OR dim.entity IS NOT NULL
            ORDER BY shown.place, fields.field_place
        );
    END IF;
    RETURN columns;
END
$$;

-- A row of a list: whose it is, its fields, the dimensions by which it is filtered. These are fields too, with the
-- names of their values, when the list has such columns.
CREATE TYPE kpi_http.thing AS (tenant_no integer, fields jsonb, dims jsonb);

-- Return the NPS answers that say something in words, newest first.
CREATE FUNCTION kpi_http.list_nps_answers(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT range.tenant_no,
        jsonb_build_object(
            'time', kpi_http.ms(answer.at), 'id', answer.id, 'text', answer.text,
            'name', coalesce(experience.name, answer.experience, 'no experience')
        ),
        jsonb_build_object(
            'experience', coalesce(answer.experience, 'no experience'), 'score', answer.score,
            'folder', coalesce(experience.folder, 'no folder'), 'segment', CASE
                WHEN answer.score <= 6 THEN 'detractors' WHEN answer.score <= 8 THEN 'passives' ELSE 'promoters'
            END
        )
    FROM kpi_http.ranges(q, 'nps_answers') AS range
    -- OFFSET 0: asked as a join, a plan made before the ranges are known reads every tenant's answers of all times.
    CROSS JOIN LATERAL (
        SELECT event.at, event.id, event.experience, event.score, record.text
        FROM kpi_fact.event AS event
        JOIN kpi_data.event AS record ON record.tenant_no = event.tenant_no AND record.id = event.id
        WHERE event.tenant_no = range.tenant_no AND event.kind = 'nps'
            AND event.day >= range.first_day AND event.day < range.last_day
            AND event.at >= range.starts AND event.at < range.ends AND record.text IS NOT NULL
        OFFSET 0
    ) AS answer
    LEFT JOIN kpi_data.experience AS experience
        ON experience.tenant_no = range.tenant_no AND experience.id = answer.experience
    ORDER BY answer.at DESC, answer.id COLLATE "C" DESC
$$;

-- Return a text as a part of an address: UTF-8, with % and two digits for each byte that is not plain.
CREATE FUNCTION kpi_http.url_encoded(part text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(string_agg(
        CASE
            WHEN character ~ '^[A-Za-z0-9_.~-]$' THEN character
            ELSE regexp_replace(upper(encode(convert_to(character, 'UTF8'), 'hex')), '(..)', '%\1', 'g')
        END, '' ORDER BY place), '')
    FROM regexp_split_to_table(part, '') WITH ORDINALITY AS characters (character, place)
$$;

-- Return the conversations that a notification opened and the contact has not joined, or in which no user has engaged
-- after that; newest first.
CREATE FUNCTION kpi_http.list_after_sales(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT invited.tenant_no,
        jsonb_build_object(
            'time', kpi_http.ms(invited.at), 'id', conversation.conversation, 'name', conversation.conversation,
            'conversation', conversation.conversation, 'contact', contact.contact,
            -- A record is anybody's: an address of another scheme (javascript:) would run where it is clicked.
            'url', CASE WHEN tenant.conversation_url ~* '^https?://' THEN
                replace(tenant.conversation_url, '{conversation}', kpi_http.url_encoded(conversation.conversation))
            END
        ),
        jsonb_build_object('channel', coalesce(invited.channel, 'no touchpoint'))
    FROM kpi_http.ranges(q, 'after_sales_invited') AS range
    JOIN kpi_fact.after_sales AS invited ON invited.tenant_no = range.tenant_no
        AND invited.day >= range.first_day AND invited.day < range.last_day
        AND invited.at >= range.starts AND invited.at < range.ends
    JOIN kpi_fact.conversation AS conversation ON conversation.conversation_no = invited.conversation_no
    LEFT JOIN kpi_fact.contact AS contact ON contact.contact_no = invited.contact_no
    LEFT JOIN kpi_data.tenant AS tenant ON tenant.tenant_no = invited.tenant_no
    WHERE CASE q.list
        WHEN 'after_sales_not_joined' THEN NOT invited.joined
        ELSE invited.joined AND NOT invited.engaged
    END
    ORDER BY invited.at DESC, conversation.conversation COLLATE "C" DESC
$$;

-- Return the entities of a kind by name, and the ids that occur without a record.
CREATE FUNCTION kpi_http.list_entities(q kpi_http.question, kind_name text) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT listed.tenant_no,
        jsonb_build_object('id', listed.id, 'name', listed.name, 'active', listed.active) || listed.more, listed.dims
    FROM (
        SELECT entity.tenant_no, entity.id, entity.name, entity.active, entity.dims, entity.more
        FROM kpi_admin.entity AS entity
        WHERE entity.kind = kind_name AND entity.tenant_no = ANY (kpi_http.tenant_numbers(q.conditions))
        UNION ALL
        SELECT DISTINCT found.tenant_no, found.value, found.value, NULL::boolean,
            coalesce((SELECT jsonb_object_agg(dim, 'no ' || dim) FROM unnest(kpi_http.list_dims(q)) AS dim), '{}'),
            '{}'::jsonb
        FROM kpi_http.occurring(kind_name, jsonb_path_query_array(q.conditions, '$[*] ? (@.dim == "tenant")')) AS found
        WHERE found.value <> CASE kind_name WHEN 'channel' THEN 'no touchpoint' ELSE 'no ' || kind_name END
            AND NOT EXISTS (
                SELECT FROM kpi_admin.entity AS entity
                WHERE entity.kind = kind_name AND entity.tenant_no = found.tenant_no AND entity.id = found.value
            )
    ) AS listed
    ORDER BY listed.name COLLATE "C", listed.id COLLATE "C", listed.tenant_no
$$;

-- Return modules in their order, with all their visits whatever experience an event names.
CREATE FUNCTION kpi_http.list_modules(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH visited AS (
        SELECT number.tenant_no, total.dims[2] AS module, total.value AS visits
        FROM kpi_admin.answer(kpi_http.plan_of_tenants(q, 'module_visits', '{tenant,module}')) AS total
        JOIN kpi_data.tenant_number AS number ON number.tenant = total.dims[1]
    ), modules AS (
        SELECT module.tenant_no, module.fields, module.dims, coalesce(visited.visits, 0) AS visits
        FROM kpi_http.list_entities(q, 'module') AS module
        LEFT JOIN visited ON visited.tenant_no = module.tenant_no AND visited.module = module.fields ->> 'id'
        WHERE kpi_http.meets(module.dims, q.conditions)
    )
    SELECT tenant_no,
        fields || jsonb_build_object('visits', visits, 'share',
            coalesce(trim_scale(visits / nullif(max(visits) OVER (), 0)), 0)),
        dims
    FROM modules
    ORDER BY (fields ->> 'position')::integer NULLS LAST, fields ->> 'id' COLLATE "C", tenant_no
$$;

-- Return what a KPI counts, in order of time: a page of 1,000.
CREATE FUNCTION kpi_http.list_hits(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT number.tenant_no,
        jsonb_build_object(
            'time', kpi_http.ms(hit.at), 'kind', hit.kind, 'id', hit.id, 'name', hit.id, 'contact', hit.contact,
            'conversation', hit.conversation, 'amount', trim_scale(hit.amount)
        ),
        hit.dims
    FROM kpi_admin.hits(kpi_http.plan(q, q.kpis[1], 'total', '{}'), 1000, q.skip)
        WITH ORDINALITY AS hit (tenant_id, at, kind, id, contact, conversation, amount, dims, place)
    JOIN kpi_data.tenant_number AS number ON number.tenant = hit.tenant_id
    ORDER BY hit.place
$$;

-- Return paths of the tree as JSON lists of ids. Each is given as such a list, or as a text of it. Refuse another.
CREATE FUNCTION kpi_http.open_paths(expanded jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    paths jsonb := '[]';
    path jsonb;
BEGIN
    IF jsonb_array_length(expanded) > 1000 THEN
        PERFORM kpi_admin.refuse('too_many_values', 'at most 1,000 paths are expanded');
    END IF;
    FOR path IN SELECT jsonb_array_elements(coalesce(expanded, '[]')) LOOP
        BEGIN
            path := CASE jsonb_typeof(path) WHEN 'string' THEN (path #>> '{}')::jsonb ELSE path END;
        EXCEPTION WHEN data_exception THEN
            path := NULL;
        END;
        IF jsonb_typeof(path) IS DISTINCT FROM 'array' THEN
            PERFORM kpi_admin.refuse('invalid_path', 'a path is the ids as a JSON list');
        END IF;
        paths := paths || jsonb_build_array(path);
    END LOOP;
    RETURN paths;
END
$$;

-- Return the values of a KPI by location, department, user and channel, each level below the paths that are open.
CREATE FUNCTION kpi_http.list_after_sales_tree(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    steps text[] := '{location,department,user,channel}';
    open_paths jsonb := kpi_http.open_paths(q.expanded);
    deepest integer := (SELECT max(jsonb_array_length(path)) FROM jsonb_array_elements(open_paths || '[[]]') AS path);
BEGIN
    RETURN QUERY
    WITH nodes AS (
        SELECT number.tenant_no, number.tenant, level, total.dims[2:] AS ids, total.value,
            ARRAY(
                SELECT kpi_http.label(steps[step], total.dims[1 + step], ARRAY[number.tenant_no])
                FROM generate_series(1, level) AS step
            ) AS names
        FROM generate_series(1, least(cardinality(steps), 1 + deepest)) AS level
        CROSS JOIN LATERAL kpi_admin.answer(
            kpi_http.plan(q, kpi_http.kpi_of_list(q), 'total', ARRAY['tenant'] || steps[1:level])
        ) AS total
        JOIN kpi_data.tenant_number AS number ON number.tenant = total.dims[1]
        -- Every node above it is open.
        WHERE NOT EXISTS (
            SELECT FROM generate_series(1, level - 1) AS above
            WHERE NOT EXISTS (
                SELECT FROM jsonb_array_elements(open_paths) AS path WHERE path = to_jsonb(total.dims[2:1 + above])
            )
        )
    )
    SELECT node.tenant_no,
        jsonb_build_object(
            'path', to_json(node.ids)::text, 'level', node.level, 'id', node.ids[node.level],
            'name', node.names[node.level], 'value', trim_scale(node.value)
        ),
        '{}'::jsonb
    FROM nodes AS node
    -- By name, then id, of each level: a node stands below the one that it is in.
    ORDER BY node.tenant COLLATE "C", ARRAY(
        SELECT text
        FROM unnest(node.names, node.ids) WITH ORDINALITY AS step (name, id, place)
        CROSS JOIN LATERAL unnest(ARRAY[step.name, step.id]) WITH ORDINALITY AS texts (text, text_place)
        ORDER BY step.place, text_place
    ) COLLATE "C";
END
$$;

-- Return the KPIs as kpi.catalog has them.
CREATE FUNCTION kpi_http.list_catalog(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::integer,
        to_jsonb(known) || jsonb_build_object(
            'id', known.kpi_id, 'name', known.title, 'dims', array_to_string(known.dims, ', ')),
        '{}'::jsonb
    FROM kpi.catalog AS known
$$;

-- Return how fresh each view is, as kpi.freshness has it; `behind` in seconds.
CREATE FUNCTION kpi_http.list_freshness(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::integer,
        jsonb_build_object(
            'id', fresh.view_name, 'name', fresh.view_name, 'view_name', fresh.view_name,
            'kpi_ids', array_to_string(fresh.kpi_ids, ', '), 'refreshed_at', kpi_http.ms(fresh.refreshed_at),
            'newest_event', kpi_http.ms(fresh.newest_event), 'behind', trim_scale(extract(epoch FROM fresh.behind)),
            'loaded_at', kpi_http.ms(fresh.loaded_at)
        ),
        '{}'::jsonb
    FROM kpi.freshness AS fresh
$$;

-- Return one row: when the asked tenants had their first and, until now, their last event, and now.
CREATE FUNCTION kpi_http.list_range(q kpi_http.question) RETURNS SETOF kpi_http.thing
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::integer,
        jsonb_build_object(
            'id', 'range', 'name', 'range', 'first', kpi_http.ms(min(ends.first)), 'last', kpi_http.ms(max(ends.last)),
            'now', kpi_http.ms(kpi_admin.now())
        ),
        '{}'::jsonb
    FROM (
        SELECT (
            SELECT event.at FROM kpi_fact.event AS event
            WHERE event.tenant_no = asked.tenant_no ORDER BY event.at LIMIT 1
        ) AS first, (
            SELECT event.at FROM kpi_fact.event AS event
            WHERE event.tenant_no = asked.tenant_no AND event.at <= kpi_admin.now() ORDER BY event.at DESC LIMIT 1
        ) AS last
        FROM unnest(kpi_http.tenant_numbers(q.conditions)) AS asked (tenant_no)
    ) AS ends
$$;

-- Return an object as a JSON text with its fields in the order of `names`; those that it has not are left out.
CREATE FUNCTION kpi_http.in_order(fields jsonb, names text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '{' || string_agg(to_json(named.name)::text || ':' || (fields -> named.name)::text, ',' ORDER BY named.place)
        || '}'
    FROM unnest(names) WITH ORDINALITY AS named (name, place) WHERE fields ? named.name
$$;

-- Return the rows of a list as JSON texts, at most 10,000. Refuse conditions on dimensions that it does not have.
CREATE FUNCTION kpi_http.list(q kpi_http.question) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known kpi_http.known_list := kpi_http.known(q.list);
    columns text[] := kpi_http.list_columns(q);
    hidden text[] := ARRAY(SELECT dim FROM unnest(known.dims) AS dim WHERE dim <> ALL (columns));
    allowed text[] := kpi_http.list_dims(q) || ARRAY['tenant'];
    unknown_dim text := (
        SELECT condition ->> 'dim' FROM jsonb_array_elements(q.conditions) AS condition
        WHERE NOT condition ->> 'dim' = ANY (allowed) LIMIT 1
    );
BEGIN
    IF unknown_dim IS NOT NULL THEN
        PERFORM kpi_admin.refuse('unknown_dimension',
            format('the list %s has no dimension %s', q.list, left(unknown_dim, 100)),
            'It has: ' || array_to_string(allowed, ', ') || '.');
    ELSIF jsonb_path_exists(q.conditions, '$[*] ? (@.dim == "segment" && @.op == "=").values[*]
        ? (@ != "detractors" && @ != "passives" && @ != "promoters")')
    THEN
        PERFORM kpi_admin.refuse('unknown_segment', 'there is no such segment',
            'It is detractors, passives or promoters.');
    END IF;
    -- Many things have the same dimensions, which are named once.
    RETURN QUERY EXECUTE format(
        'WITH things AS MATERIALIZED (
             SELECT thing.* FROM kpi_http.%I($1%s) WITH ORDINALITY AS thing (tenant_no, fields, dims, place)
             WHERE $3 OR kpi_http.meets(thing.dims, ($1).conditions) ORDER BY thing.place LIMIT 10000
         ), named AS MATERIALIZED (
             SELECT different.tenant_no, different.dims,
                 kpi_http.named(different.dims - $4, ARRAY[different.tenant_no])
                     || jsonb_build_object(''tenant'', tenant.id, ''tenant_name'', tenant.name) AS fields
             FROM (SELECT DISTINCT things.tenant_no, things.dims FROM things) AS different
             LEFT JOIN kpi_admin.entity AS tenant
                 ON tenant.kind = ''tenant'' AND tenant.tenant_no = different.tenant_no
         )
         SELECT kpi_http.in_order(things.fields || named.fields, $2)
         FROM things
         JOIN named ON named.dims = things.dims AND named.tenant_no IS NOT DISTINCT FROM things.tenant_no
         ORDER BY things.place',
        known.function, CASE WHEN known.entity IS NOT NULL THEN format(', %L', known.entity) END
    ) USING q, columns, known.filters_itself, hidden;
END
$$;
