-- What the HTTP server may call: schema kpi_http, for the login kpi_server and nobody else. Its functions run as
-- their owner and answer for the tenants that `enter` set for the transaction; kpi_server has no right on any table.

CREATE TABLE IF NOT EXISTS kpi_admin.token (
    name text PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,       -- SHA-256 of the token, which itself is kept nowhere
    tenants text[] CHECK (cardinality(tenants) > 0),       -- null: all, those to come among them
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz, revoked_at timestamptz,
    minute timestamptz, requests integer NOT NULL DEFAULT 0       -- how many in that minute, for a rate limit
);

-- Made anew each time, so that functions may change their columns.
DROP SCHEMA IF EXISTS kpi_http CASCADE;
CREATE SCHEMA kpi_http;

-- Sees to it that the transaction sees a token's tenants; the token's name, null when it is not valid.
CREATE FUNCTION kpi_http.enter(token_hash bytea) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t kpi_admin.token;
BEGIN
    SELECT * INTO t FROM kpi_admin.token
    WHERE hash = token_hash AND revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true);
    IF FOUND THEN
        PERFORM set_config('kpi.every_tenant', (t.tenants IS NULL)::text, true),
            set_config('kpi.tenants', to_jsonb(coalesce(t.tenants, ARRAY(SELECT tenant FROM kpi_data.tenant_number)))::text, true);
    END IF;
    RETURN t.name;
END
$$;

-- Counts a request against `allowed` a minute; the seconds to wait when they are used up.
CREATE FUNCTION kpi_http.seconds_to_wait(token_hash bytea, allowed integer) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE kpi_admin.token AS t
    SET minute = m.this, requests = CASE WHEN t.minute = m.this THEN t.requests + 1 ELSE 1 END
    FROM (SELECT date_trunc('minute', clock_timestamp()) AS this) AS m
    WHERE t.hash = token_hash
    RETURNING CASE WHEN t.requests > allowed THEN ceil(extract(epoch FROM t.minute + interval '1 minute' - clock_timestamp()))::integer END
$$;

-- Filters taken apart; refuses what breaks the limits, and tenants that the token may not see.
CREATE FUNCTION kpi_http.conditions(filters jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found jsonb := kpi_admin.conditions(filters);
    named text[] := ARRAY(
        SELECT v FROM jsonb_array_elements(found) AS c, jsonb_array_elements_text(c -> 'values') AS v
        WHERE c ->> 'dim' = 'tenant' AND c ->> 'op' = '='
    );
BEGIN
    IF EXISTS (SELECT FROM jsonb_array_elements(found) AS c WHERE jsonb_array_length(c -> 'values') > 1000) THEN
        PERFORM kpi_admin.refuse('too_many_values', 'a filter has at most 1,000 values');
    END IF;
    -- An expression that cannot be read is refused also where no row would be held against it.
    PERFORM '' ~ kpi_admin.anchored(v) FROM jsonb_array_elements(found) AS c, jsonb_array_elements_text(c -> 'values') AS v
    WHERE c ->> 'op' IN ('=~', '!~');
    IF current_setting('kpi.every_tenant', true) = 'true' THEN
        PERFORM set_config('kpi.tenants', to_jsonb(ARRAY(SELECT unnest(kpi_admin.visible_tenants()) UNION SELECT unnest(named)))::text, true);
    ELSIF NOT named <@ kpi_admin.visible_tenants() THEN
        RAISE EXCEPTION USING ERRCODE = 'KP403', CONSTRAINT = 'forbidden_tenant',
            MESSAGE = 'this token may not see that tenant', HINT = 'Without a filter on tenant it answers for all that it may see.';
    END IF;
    RETURN found;
END
$$;

-- Checks what every question on KPIs has, and says the widest range that its answers use.
CREATE FUNCTION kpi_http.used_range(
    kpi_ids text[], asked_from timestamptz, asked_to timestamptz, bucket text, filters jsonb, granularity text, zone text,
    OUT starts timestamptz, OUT ends timestamptz
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM kpi_http.conditions(filters);
    PERFORM kpi_admin.bucket(kpi_admin.definition(k), asked_from, asked_to, bucket) FROM unnest(kpi_ids) AS k;
    SELECT min(r.starts), max(r.ends) INTO starts, ends
    FROM unnest(kpi_ids) AS k, kpi_admin.used_range(k, asked_from, asked_to, filters, granularity, zone) AS r;
END
$$;

-- Every entity, under one roof: `dims` are those that its record names, `more` what else a list of them shows.
CREATE VIEW kpi_http.thing AS
SELECT 'tenant' AS kind, n.tenant_no, n.tenant AS id, coalesce(t.name, n.tenant) AS name, true AS active, '{}'::jsonb AS dims,
    jsonb_build_object('timezone', coalesce(t.timezone, 'UTC')) AS more
FROM kpi_data.tenant_number AS n LEFT JOIN kpi_data.tenant AS t USING (tenant_no)
UNION ALL
SELECT 'folder', tenant_no, id, coalesce(name, id), true, '{}', '{}' FROM kpi_data.folder
UNION ALL
SELECT 'experience', tenant_no, id, coalesce(name, id), true, jsonb_build_object('folder', coalesce(folder, 'no folder')), '{}' FROM kpi_data.experience
UNION ALL
SELECT 'module', tenant_no, id, coalesce(name, id), true,
    jsonb_build_object('experience', coalesce(experience, 'no experience'), 'module_type', coalesce(module_type, 'no module_type')),
    jsonb_build_object('position', position)
FROM kpi_data.module
UNION ALL
SELECT 'location', tenant_no, id, coalesce(name, id), active, '{}', '{}' FROM kpi_data.location
UNION ALL
SELECT 'department', tenant_no, id, coalesce(name, id), active, jsonb_build_object('location', coalesce(location, 'no location')), '{}' FROM kpi_data.department
UNION ALL
SELECT 'inbox', tenant_no, id, coalesce(name, id), true, jsonb_build_object('department', coalesce(department, 'no department')), '{}' FROM kpi_data.inbox
UNION ALL
SELECT 'channel', tenant_no, id, coalesce(name, id), active, '{}', jsonb_build_object('channel_type', channel_type) FROM kpi_data.channel
UNION ALL
SELECT 'user', tenant_no, id, coalesce(name, id), active,
    jsonb_build_object('role', coalesce(role, 'no role'), 'level', coalesce(level::text, 'no level'), 'department', coalesce(department, 'no department')), '{}'
FROM kpi_data."user"
UNION ALL
SELECT 'bot', tenant_no, id, coalesce(name, id), active, '{}', jsonb_build_object('description', coalesce(description, name, id)) FROM kpi_data.bot;

-- The name of a dimension's value, of the first of some tenants that knows it; else the value itself.
CREATE FUNCTION kpi_http.label(dim_name text, value text, tenants integer[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind_name text := (SELECT d.entity FROM kpi_admin.dim AS d WHERE d.dim = dim_name);
    found text;
BEGIN
    IF kind_name IS NOT NULL THEN
        SELECT t.name INTO found FROM kpi_http.thing AS t
        WHERE t.kind = kind_name AND t.id = value AND t.tenant_no = ANY (tenants) ORDER BY array_position(tenants, t.tenant_no) LIMIT 1;
    END IF;
    RETURN coalesce(found, value);
END
$$;

-- The numbers of the asked tenants, by id.
CREATE FUNCTION kpi_http.tenant_numbers(filters jsonb) RETURNS integer[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(t.tenant_no ORDER BY t.tenant COLLATE "C"), '{}')
    FROM kpi_admin.asked_tenants(kpi_admin.conditions(filters)) AS t WHERE t.tenant_no IS NOT NULL
$$;

-- The names of a group, one for each of its dimensions; grouped by tenant they are that tenant's.
CREATE FUNCTION kpi_http.labels(by text[], dims text[], tenants integer[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(kpi_http.label(n.dim, dims[n.i], coalesce(own.tenants, tenants)) ORDER BY n.i), '{}')
    FROM unnest(by) WITH ORDINALITY AS n (dim, i),
        (SELECT array_agg(tenant_no) AS tenants FROM kpi_data.tenant_number WHERE tenant = dims[array_position(by, 'tenant')]) AS own
$$;

-- kpi_admin.answer with times in ms and with the groups' names. `by` names each dimension once.
CREATE FUNCTION kpi_http.answer(
    kpi_id text, shape text, asked_from timestamptz, asked_to timestamptz, bucket text, filters jsonb, by text[], granularity text, zone text, compare boolean
) RETURNS TABLE (at bigint, dims text[], names text[], value numeric, previous numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH points AS MATERIALIZED (
        SELECT * FROM kpi_admin.answer(kpi_id, shape, asked_from, asked_to, bucket, filters, by, granularity, zone, compare)
        WITH ORDINALITY AS p (at, dims, value, previous, no)
    ), groups AS MATERIALIZED (
        SELECT g.dims, kpi_http.labels(by, g.dims, t.numbers) AS names
        FROM (SELECT DISTINCT dims FROM points) AS g, (SELECT kpi_http.tenant_numbers(filters) AS numbers OFFSET 0) AS t
    )
    SELECT (extract(epoch FROM p.at) * 1000)::bigint, p.dims, g.names, p.value, p.previous
    FROM points AS p JOIN groups AS g USING (dims)
    ORDER BY p.no
$$;

-- Totals of several KPIs side by side: a group that one of them does not have is 0 there, or null.
CREATE FUNCTION kpi_http.totals(
    kpi_ids text[], asked_from timestamptz, asked_to timestamptz, filters jsonb, by text[], granularity text, zone text
) RETURNS TABLE (dims text[], names text[], amounts numeric[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH kpis AS (
        SELECT u.id, u.i, CASE WHEN k.fold IN ('sum', 'distinct') THEN 0::numeric END AS nothing
        FROM unnest(kpi_ids) WITH ORDINALITY AS u (id, i) JOIN kpi_admin.kpi AS k ON k.kpi_id = u.id
    ), totals AS MATERIALIZED (
        SELECT kpis.i, a.dims, a.value
        FROM kpis, kpi_admin.answer(kpis.id, 'total', asked_from, asked_to, NULL, filters, by, granularity, zone) AS a
    ), groups AS (SELECT DISTINCT dims FROM totals)
    SELECT g.dims, kpi_http.labels(by, g.dims, kpi_http.tenant_numbers(filters)),
        array_agg(CASE WHEN t.i IS NULL THEN kpis.nothing ELSE t.value END ORDER BY kpis.i)
    FROM groups AS g CROSS JOIN kpis LEFT JOIN totals AS t ON t.i = kpis.i AND t.dims = g.dims
    GROUP BY g.dims ORDER BY g.dims COLLATE "C"
$$;

-- A distribution as 24 rows: the hour, and its value on each weekday from Monday on.
CREATE FUNCTION kpi_http.distribution(kpi_id text, asked_from timestamptz, asked_to timestamptz, filters jsonb, zone text)
RETURNS TABLE (hour text, weekdays numeric[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('kpi.viewer_zone', coalesce(zone, ''), true);
    RETURN QUERY
    SELECT d.hour, array_agg(d.value ORDER BY d.weekday) FROM kpi.distribution(kpi_id, asked_from, asked_to, filters) AS d
    GROUP BY d.hour ORDER BY d.hour::integer;
END
$$;

-- The time zone that the asked tenants share, else UTC; and the last 30 whole days there.
CREATE FUNCTION kpi_http.last_days(filters jsonb, OUT zone text, OUT starts timestamptz, OUT ends timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date;
BEGIN
    SELECT CASE WHEN count(DISTINCT t.zone) = 1 THEN min(t.zone) ELSE 'UTC' END INTO zone
    FROM kpi_admin.asked_tenants(kpi_http.conditions(filters)) AS t;
    today := kpi_admin.now() AT TIME ZONE zone;
    starts := kpi_admin.day_start(zone, today - 30);
    ends := kpi_admin.day_start(zone, today);
END
$$;

-- Each local 1 January in [asked_from, asked_to).
CREATE FUNCTION kpi_http.year_changes(asked_from timestamptz, asked_to timestamptz, filters jsonb) RETURNS TABLE (at bigint, year text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (extract(epoch FROM s.starts) * 1000)::bigint, y::text
    FROM generate_series(2000, 2101) AS y, kpi_http.last_days(filters) AS d,
        LATERAL (SELECT kpi_admin.day_start(d.zone, make_date(y, 1, 1)) AS starts) AS s
    WHERE s.starts >= asked_from AND s.starts < asked_to
    ORDER BY y
$$;

-- Every value of a dimension that occurs in the asked tenants, under filters on other dimensions.
CREATE FUNCTION kpi_http.occurring(dim_name text, filters jsonb) RETURNS TABLE (tenant_no integer, value text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    conditions jsonb := kpi_admin.conditions(filters);
    needed text[] := array_remove(dim_name || ARRAY(SELECT c ->> 'dim' FROM jsonb_array_elements(conditions) AS c), 'tenant');
    ranges kpi_admin.tenant_range[] := ARRAY(
        SELECT (t.tenant_no, t.tenant, t.zone, '1999-01-01', '2102-01-01', '1999-01-01', '2102-01-01')::kpi_admin.tenant_range
        FROM kpi_admin.asked_tenants(conditions) AS t WHERE t.tenant_no IS NOT NULL
    );
    k kpi_admin.kpi;
    known boolean := false;
BEGIN
    FOR k IN SELECT * FROM kpi_admin.kpi WHERE needed <@ dims AND fold NOT IN ('ratio', 'value', 'level') LOOP
        known := true;
        EXIT WHEN dim_name = 'tenant' AND needed = '{}';
        RETURN QUERY
        SELECT n.tenant_no, f.dims[2] FROM kpi_admin.folded(k, ranges, false, 'total', conditions, ARRAY['tenant', dim_name], false) AS f
        JOIN kpi_data.tenant_number AS n ON n.tenant = f.dims[1];
    END LOOP;
    IF NOT known THEN
        PERFORM kpi_admin.refuse('unknown_dimension', format('no KPI has the dimensions %s', left(array_to_string(needed, ', '), 100)));
    ELSIF dim_name = 'tenant' AND needed = '{}' THEN
        RETURN QUERY SELECT r.tenant_no, r.tenant FROM unnest(ranges) AS r;
    END IF;
END
$$;

CREATE FUNCTION kpi_http.dim_values(dim_name text, filters jsonb) RETURNS TABLE (id text, name text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM kpi_http.conditions(filters);
    RETURN QUERY
    SELECT v.value, kpi_http.label(dim_name, v.value, v.tenants)
    FROM (
        SELECT o.value, array_agg(DISTINCT o.tenant_no) AS tenants FROM kpi_http.occurring(dim_name, filters) AS o GROUP BY o.value
        ORDER BY o.value COLLATE "C" LIMIT 1000
    ) AS v
    ORDER BY 2 COLLATE "C", 1 COLLATE "C";
END
$$;

-- How far behind the numbers are, whether anything was ever refreshed, and which refresh they are of.
CREATE FUNCTION kpi_http.state(OUT behind double precision, OUT refreshed_at double precision, OUT newest_event double precision, OUT generation bigint, OUT views bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT extract(epoch FROM max(f.behind)), extract(epoch FROM s.refreshed_at), extract(epoch FROM max(f.newest_event)), s.generation, count(*)
    FROM kpi_admin.state AS s CROSS JOIN kpi.freshness AS f GROUP BY s.refreshed_at, s.generation
$$;

CREATE FUNCTION kpi_http.catalog() RETURNS TABLE (id text, title text, dims text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT kpi_id, title, dims || ARRAY['tenant'] FROM kpi_admin.kpi ORDER BY position
$$;

CREATE FUNCTION kpi_http.dims() RETURNS TABLE (dim text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.dim FROM kpi_admin.dim AS d ORDER BY d.dim COLLATE "C"
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA kpi_http FROM PUBLIC;
GRANT USAGE ON SCHEMA kpi_http TO kpi_server;
GRANT EXECUTE ON FUNCTION kpi_http.enter, kpi_http.seconds_to_wait, kpi_http.used_range, kpi_http.answer, kpi_http.totals,
    kpi_http.distribution, kpi_http.last_days, kpi_http.year_changes, kpi_http.dim_values, kpi_http.state, kpi_http.catalog,
    kpi_http.dims TO kpi_server;
