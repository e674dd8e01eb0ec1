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

-- Return whether a token is in force.
CREATE OR REPLACE FUNCTION kpi_admin.is_in_force(one kpi_admin.token) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT one.revoked_at IS NULL AND coalesce(one.expires_at > pg_catalog.clock_timestamp(), true)
$$;

-- Keep a new token, in place of a revoked one of its name; return false when one of that name is in force.
CREATE OR REPLACE FUNCTION kpi_admin.keep_token(
    token_name text, token_hash bytea, of_tenants text[], until timestamptz
) RETURNS boolean
LANGUAGE sql AS $$
    WITH kept AS (
        INSERT INTO kpi_admin.token AS old (name, hash, tenants, expires_at)
        SELECT token_name, token_hash,
            CASE WHEN of_tenants IS NOT NULL THEN ARRAY(SELECT DISTINCT unnest(of_tenants)) END, until
        ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, tenants = excluded.tenants,
            expires_at = excluded.expires_at, created_at = excluded.created_at, revoked_at = NULL
        WHERE old.revoked_at IS NOT NULL
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM kept)
$$;

-- The schema is made anew each time, so that functions may change their columns.
DROP SCHEMA IF EXISTS kpi_http CASCADE;
CREATE SCHEMA kpi_http;

-- A list of things, as datasource/catalog/lists.toml declares it (ThingList in datasource/catalog). `init` makes the
-- function kpi_http.known_lists() of that file, which returns all. A table would make `init` wait for its readers.
CREATE TYPE kpi_http.known_list AS (
    name text, function text, entity text, columns text[], times text[], dims text[], has_range boolean,
    needs_kpi boolean, default_kpi text, shows_dims_of_kpi boolean, filters_itself boolean, names_tenant boolean,
    is_kept boolean
);

-- Return what is known of a list. Refuse a list that there is not.
CREATE FUNCTION kpi_http.known(list_name text) RETURNS kpi_http.known_list
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    listed kpi_http.known_list;
BEGIN
    SELECT * INTO listed FROM kpi_http.known_lists() AS known WHERE known.name = list_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'KP404', CONSTRAINT = 'unknown_list',
            MESSAGE = format('there is no list %s', left(list_name, 100));
    END IF;
    RETURN listed;
END
$$;

-- Have the transaction see a token's tenants; refuse a token that is not valid.
CREATE FUNCTION kpi_http.enter(token_hash bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    valid kpi_admin.token;
BEGIN
    SELECT * INTO valid FROM kpi_admin.token AS token WHERE token.hash = token_hash AND kpi_admin.is_in_force(token);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'KP401', CONSTRAINT = 'unauthorized', MESSAGE = 'The token is not valid.';
    END IF;
    PERFORM set_config('kpi.every_tenant', (valid.tenants IS NULL)::text, true), set_config('kpi.tenants',
        to_jsonb(coalesce(valid.tenants, ARRAY(SELECT tenant FROM kpi_data.tenant_number)))::text, true);
END
$$;

-- Count a request of a token, of which `allowed` are answered in a minute. Return the seconds to wait when they are
-- used up, else null.
CREATE FUNCTION kpi_http.seconds_to_wait(token_hash bytea, allowed integer) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE kpi_admin.token AS token
    SET minute = present.minute, requests = CASE WHEN token.minute = present.minute THEN token.requests + 1 ELSE 1 END
    FROM (SELECT date_trunc('minute', clock_timestamp()) AS minute) AS present
    WHERE token.hash = token_hash
    RETURNING CASE WHEN token.requests > allowed THEN
        ceil(extract(epoch FROM token.minute + interval '1 minute' - clock_timestamp()))::integer
    END
$$;

-- Return filters taken apart; refuse what breaks the limits, and tenants that the token may not see. A token for all
-- tenants may also see those that it names and that nothing was loaded of.
CREATE FUNCTION kpi_http.authorise_filters(filters jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    conditions jsonb := kpi_admin.conditions(filters);
    named text[];
BEGIN
    IF conditions = '[]' THEN
        RETURN conditions;
    ELSIF jsonb_path_exists(conditions, '$[*] ? (@.values.size() > 1000)') THEN
        PERFORM kpi_admin.refuse('too_many_values', 'a filter has at most 1,000 values');
    END IF;
    named := ARRAY(SELECT jsonb_path_query(conditions, '$[*] ? (@.dim == "tenant" && @.op == "=").values[*]') #>> '{}');
    IF current_setting('kpi.every_tenant', true) = 'true' THEN
        PERFORM set_config('kpi.tenants', to_jsonb(ARRAY(
            SELECT unnest(kpi_admin.visible_tenants()) UNION SELECT unnest(named)
        ))::text, true);
    ELSIF NOT named <@ kpi_admin.visible_tenants() THEN
        RAISE EXCEPTION USING ERRCODE = 'KP403', CONSTRAINT = 'forbidden_tenant',
            MESSAGE = 'this token may not see that tenant',
            HINT = 'Without a filter on tenant it answers for all that it may see.';
    END IF;
    RETURN conditions;
END
$$;

-- A question as the server reads it. Python has seen to its types; `read` adds what it means: `conditions` are its
-- filters taken apart and authorised, `plans` a plan for each KPI.
CREATE TYPE kpi_http.question AS (
    kpi text, kpis text[], side_by_side boolean, shape text, "by" text[], starts timestamptz, ends timestamptz,
    "last" text, bucket text, granularity text, zone text, compare text, all_groups boolean, filters jsonb,
    list text, skip bigint,
    expanded jsonb, "refId" text, conditions jsonb, plans kpi_admin.plan[]
);

-- Return the fields of a question with the defaults that they have.
CREATE FUNCTION kpi_http.fields(asked jsonb) RETURNS kpi_http.question
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    q kpi_http.question := jsonb_populate_record(NULL::kpi_http.question, asked - '{conditions,plans}'::text[]);
BEGIN
    q.shape := coalesce(q.shape, 'series');
    q."by" := coalesce(kpi_admin.once(q."by"), '{}');
    q.kpis := coalesce(kpi_admin.once(q.kpis), '{}');
    q.zone := kpi_admin.known_zone(q.zone);
    RETURN q;
END
$$;

-- Return the plan of one KPI of a question.
CREATE FUNCTION kpi_http.plan(q kpi_http.question, kpi_id text, shape text, by text[]) RETURNS kpi_admin.plan
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked kpi_admin.asked_range;
BEGIN
    IF q.last IS NULL THEN
        asked := kpi_admin.between_instants(q.starts, q.ends, q.zone);
    ELSE
        asked.last := q.last;
    END IF;
    RETURN kpi_admin.plan(
        kpi_id, shape, asked, q.bucket, q.conditions, by, q.granularity, q.zone, q.compare, q.all_groups);
END
$$;

-- Return a question read: with what its filters mean and a plan for each of its KPIs. Refuse what is wrong with it.
CREATE FUNCTION kpi_http.read(asked jsonb) RETURNS kpi_http.question
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    q kpi_http.question := kpi_http.fields(asked);
    known kpi_http.known_list;
    needs_kpi boolean := q.list IS NULL AND NOT coalesce(q.side_by_side, false);
    has_range boolean := true;
BEGIN
    q.conditions := kpi_http.authorise_filters(q.filters);
    -- Annotations are asked for like a list, but are none: kpi_http.frames alone answers them.
    IF q.list <> 'annotations' THEN
        known := kpi_http.known(q.list);
        needs_kpi := known.needs_kpi;
        has_range := known.has_range;
    END IF;
    IF needs_kpi AND q.kpis = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'missing_kpi', MESSAGE = 'the question names no kpi';
    ELSIF has_range AND (q.starts IS NULL OR q.ends IS NULL) AND q.last IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'KP400', CONSTRAINT = 'missing_range',
            MESSAGE = 'the question needs from and to, or last';
    ELSIF q.list IS NOT NULL THEN
        RETURN q;
    ELSIF q.shape NOT IN ('total', 'series', 'cumulative', 'table', 'distribution') THEN
        PERFORM kpi_admin.refuse('invalid_shape', 'the shape is total, series, cumulative, table or distribution');
    ELSIF q.side_by_side AND (q.kpi IS NOT NULL OR q.shape <> 'total' OR q.compare IS NOT NULL OR q.kpis = '{}') THEN
        PERFORM kpi_admin.refuse('invalid_combination',
            'kpis stands in place of kpi, names at least one, needs the shape total, and is not compared');
    ELSIF q.shape = 'distribution' AND (cardinality(q."by") > 0 OR q.compare IS NOT NULL) THEN
        PERFORM kpi_admin.refuse('invalid_combination', 'a distribution is neither grouped nor compared');
    END IF;
    q.plans := ARRAY(
        SELECT kpi_http.plan(q, u.kpi_id, replace(q.shape, 'table', 'series'), q."by")
        FROM unnest(q.kpis) WITH ORDINALITY AS u (kpi_id, place) ORDER BY u.place
    );
    RETURN q;
END
$$;

-- Return an instant as RFC 3339 in UTC.
CREATE FUNCTION kpi_http.rfc3339(at timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$ SELECT (to_json(at AT TIME ZONE 'UTC') #>> '{}') || 'Z' $$;

-- Return an instant as milliseconds since 1970.
CREATE FUNCTION kpi_http.ms(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT floor(extract(epoch FROM at) * 1000)::bigint $$;

-- Return a number as JSON, without trailing zeros.
CREATE FUNCTION kpi_http.number(value numeric) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(trim_scale(value)::text, 'null') $$;

-- Return the range that an answer uses: the widest of its plans'; null for a list.
CREATE FUNCTION kpi_http.used_range(q kpi_http.question) RETURNS TABLE (starts text, ends text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT kpi_http.rfc3339(coalesce(min(range.starts), max(plan.asked_end))),
        kpi_http.rfc3339(coalesce(max(range.ends), max(plan.asked_end)))
    FROM unnest(q.plans) AS plan LEFT JOIN LATERAL unnest(plan.ranges) AS range ON true
$$;

-- Return the name of a dimension's value, of the first of some tenants that has one; else the value itself.
CREATE FUNCTION kpi_http.label(dim_name text, value text, tenants integer[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind_name text := (SELECT dim.entity FROM kpi_admin.dim AS dim WHERE dim.dim = dim_name);
    found text;
BEGIN
    IF kind_name IS NOT NULL THEN
        SELECT entity.name INTO found FROM kpi_admin.entity AS entity
        WHERE entity.kind = kind_name AND entity.id = value AND entity.tenant_no = ANY (tenants)
        ORDER BY array_position(tenants, entity.tenant_no) LIMIT 1;
    END IF;
    RETURN coalesce(found, value);
END
$$;

-- Return the numbers of the tenants that conditions choose, by id.
CREATE FUNCTION kpi_http.tenant_numbers(conditions jsonb) RETURNS integer[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(t.tenant_no ORDER BY t.tenant COLLATE "C"), '{}')
    FROM kpi_admin.asked_tenants(conditions) AS t WHERE t.tenant_no IS NOT NULL
$$;

-- Return, of all tenants, how far behind the numbers are (seconds), when they were refreshed and when the newest event
-- in them happened (seconds since 1970), and how many events are dated after now.
CREATE FUNCTION kpi_http.state(
    OUT behind double precision, OUT refreshed_at double precision, OUT newest_event double precision,
    OUT future_events double precision
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT extract(epoch FROM max(f.behind)), extract(epoch FROM max(f.refreshed_at)),
        extract(epoch FROM max(f.newest_event)),
        (SELECT coalesce(sum(e.events), 0) FROM kpi_admin.future_events() AS e)
    FROM kpi_admin.freshness_of(ARRAY(SELECT n.tenant_no FROM kpi_data.tenant_number AS n), true) AS f
$$;
