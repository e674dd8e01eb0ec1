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

-- Keeps a new token, in place of a revoked one of its name; false when one of that name is in force.
CREATE OR REPLACE FUNCTION kpi_admin.keep_token(token_name text, token_hash bytea, of_tenants text[], until timestamptz) RETURNS boolean
LANGUAGE sql AS $$
    WITH kept AS (
        INSERT INTO kpi_admin.token AS t (name, hash, tenants, expires_at)
        SELECT token_name, token_hash, CASE WHEN of_tenants IS NOT NULL THEN ARRAY(SELECT DISTINCT unnest(of_tenants)) END, until
        ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, tenants = excluded.tenants, expires_at = excluded.expires_at,
            created_at = excluded.created_at, revoked_at = NULL
        WHERE t.revoked_at IS NOT NULL
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM kept)
$$;

-- Made anew each time, so that functions may change their columns.
DROP SCHEMA IF EXISTS kpi_http CASCADE;
CREATE SCHEMA kpi_http;

-- Has the transaction see a token's tenants; refuses a token that is not valid.
CREATE FUNCTION kpi_http.enter(token_hash bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t kpi_admin.token;
BEGIN
    SELECT * INTO t FROM kpi_admin.token
    WHERE hash = token_hash AND revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'KP401', CONSTRAINT = 'unauthorized', MESSAGE = 'The token is not valid.';
    END IF;
    PERFORM set_config('kpi.every_tenant', (t.tenants IS NULL)::text, true),
        set_config('kpi.tenants', to_jsonb(coalesce(t.tenants, ARRAY(SELECT tenant FROM kpi_data.tenant_number)))::text, true);
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
    IF current_setting('kpi.every_tenant', true) = 'true' THEN
        PERFORM set_config('kpi.tenants', to_jsonb(ARRAY(SELECT unnest(kpi_admin.visible_tenants()) UNION SELECT unnest(named)))::text, true);
    ELSIF NOT named <@ kpi_admin.visible_tenants() THEN
        RAISE EXCEPTION USING ERRCODE = 'KP403', CONSTRAINT = 'forbidden_tenant',
            MESSAGE = 'this token may not see that tenant', HINT = 'Without a filter on tenant it answers for all that it may see.';
    END IF;
    RETURN found;
END
$$;

-- A question as the server reads it: its types are right, its meaning is not checked yet.
CREATE TYPE kpi_http.question AS (
    kpis text[], side_by_side boolean, shape text, "by" text[], starts timestamptz, ends timestamptz, bucket text,
    granularity text, zone text, compare text, filters jsonb, list text, skip bigint, expanded jsonb, "refId" text
);

CREATE FUNCTION kpi_http.question(asked jsonb) RETURNS kpi_http.question
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    q kpi_http.question := jsonb_populate_record(NULL::kpi_http.question, asked);
    zone text := kpi_admin.known_zone(q.zone);
    day date := (q.ends + interval '1 ms') AT TIME ZONE zone;
BEGIN
    q.shape := coalesce(q.shape, 'series');
    q."by" := kpi_admin.once(q."by");
    q.kpis := kpi_admin.once(q.kpis);
    -- Grafana's end of a day is its last millisecond: calendar dates are meant.
    IF kpi_admin.day_start(zone, day) = q.ends + interval '1 ms' AND kpi_admin.day_start(zone, (q.starts AT TIME ZONE zone)::date) = q.starts THEN
        q.ends := q.ends + interval '1 ms';
    END IF;
    RETURN q;
END
$$;

-- An instant as RFC 3339 in UTC, and as milliseconds; a number as JSON.
CREATE FUNCTION kpi_http.rfc3339(at timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$ SELECT (to_json(at AT TIME ZONE 'UTC') #>> '{}') || 'Z' $$;
CREATE FUNCTION kpi_http.ms(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT floor(extract(epoch FROM at) * 1000)::bigint $$;
CREATE FUNCTION kpi_http.number(value numeric) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(trim_scale(value)::text, 'null') $$;

-- Refuses what is wrong with a question, and says which range its answer uses (null for lists).
CREATE FUNCTION kpi_http.used_range(asked jsonb) RETURNS TABLE (starts text, ends text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    q kpi_http.question := kpi_http.question(asked);
    conditions jsonb := kpi_http.conditions(q.filters);
    kpi_id text;
    k kpi_admin.kpi;
    grain text;
    grains text[] := '{}';
BEGIN
    IF q.list IS NULL AND q.kpis = '{}' AND NOT coalesce(q.side_by_side, false) OR q.list = 'hits' AND q.kpis = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'missing_kpi', MESSAGE = 'the question names no kpi';
    ELSIF (q.starts IS NULL OR q.ends IS NULL)
        AND (q.list IS NULL OR q.list IN ('nps_answers', 'after_sales_not_joined', 'after_sales_not_engaged', 'modules', 'hits', 'after_sales_tree'))
    THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'missing_range', MESSAGE = 'the question needs from and to';
    ELSIF q.list IS NOT NULL THEN
        RETURN;
    ELSIF q.shape NOT IN ('total', 'series', 'cumulative', 'table', 'distribution') THEN
        PERFORM kpi_admin.refuse('invalid_shape', 'the shape is total, series, cumulative, table or distribution');
    ELSIF q.compare <> 'previous' THEN
        PERFORM kpi_admin.refuse('invalid_compare', 'compare can only be previous');
    ELSIF q.side_by_side AND (asked ? 'kpi' OR q.shape <> 'total' OR q.compare IS NOT NULL OR q.kpis = '{}') THEN
        PERFORM kpi_admin.refuse('invalid_combination', 'kpis stands in place of kpi, names at least one, needs the shape total, and is not compared');
    ELSIF q.shape = 'distribution' AND (cardinality(q."by") > 0 OR q.compare IS NOT NULL) THEN
        PERFORM kpi_admin.refuse('invalid_combination', 'a distribution is neither grouped nor compared');
    END IF;
    FOREACH kpi_id IN ARRAY q.kpis LOOP
        k := kpi_admin.definition(kpi_id);
        -- The interval is checked also where the shape does not use it, the granularity where a distribution has its own.
        PERFORM kpi_admin.bucket(k, q.starts, q.ends, q.bucket);
        grain := kpi_admin.grain(k, q.starts, q.ends, q.granularity);
        grains := grains || CASE q.shape WHEN 'distribution' THEN 'day' ELSE grain END;
    END LOOP;
    RETURN QUERY
    SELECT kpi_http.rfc3339(coalesce(min(r.starts), q.ends)), kpi_http.rfc3339(coalesce(max(r.ends), q.ends))
    FROM (SELECT DISTINCT u.grain FROM unnest(grains) AS u (grain)) AS g,
        kpi_admin.tenant_ranges(g.grain, q.starts, q.ends, conditions, kpi_admin.known_zone(q.zone)) AS r;
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
SELECT 'user', u.tenant_no, u.id, coalesce(u.name, u.id), u.active,
    jsonb_build_object('role', coalesce(u.role, 'no role'), 'level', coalesce(u.level::text, 'no level'),
        'department', coalesce(u.department, 'no department'), 'location', coalesce(d.location, 'no location')), '{}'
FROM kpi_data."user" AS u LEFT JOIN kpi_data.department AS d ON d.tenant_no = u.tenant_no AND d.id = u.department
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

-- The asked tenants' numbers, by id.
CREATE FUNCTION kpi_http.tenant_numbers(filters jsonb) RETURNS integer[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(t.tenant_no ORDER BY t.tenant COLLATE "C"), '{}')
    FROM kpi_admin.asked_tenants(kpi_admin.conditions(filters)) AS t WHERE t.tenant_no IS NOT NULL
$$;

-- How far behind the numbers are (seconds), when they were refreshed, the newest event they hold (seconds since 1970).
CREATE FUNCTION kpi_http.state(OUT behind double precision, OUT refreshed_at double precision, OUT newest_event double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT extract(epoch FROM max(f.behind)), extract(epoch FROM max(f.refreshed_at)), extract(epoch FROM max(f.newest_event)) FROM kpi.freshness AS f
$$;
