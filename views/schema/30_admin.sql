-- Who may see what, what has been refreshed, and where a KPI's slices are.

-- Numbers in place of ids: distinct counts over integers are several times faster than over text.
CREATE SCHEMA IF NOT EXISTS kpi_fact;
CREATE SCHEMA IF NOT EXISTS kpi_hits;
CREATE SCHEMA IF NOT EXISTS kpi_slice;
CREATE SCHEMA IF NOT EXISTS kpi_retired;     -- definitions of before, for as long as slices of before stand on them
-- Facts and views of hits by new definitions, while a refresh fills them: nothing is in these when it has ended.
CREATE SCHEMA IF NOT EXISTS kpi_next;
CREATE SCHEMA IF NOT EXISTS kpi_next_hits;

CREATE TABLE IF NOT EXISTS kpi_fact.contact (
    contact_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no integer NOT NULL, contact text COLLATE "C" NOT NULL, UNIQUE (tenant_no, contact)
);
CREATE TABLE IF NOT EXISTS kpi_fact.conversation (
    conversation_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no integer NOT NULL, conversation text COLLATE "C" NOT NULL, UNIQUE (tenant_no, conversation)
);
CREATE TABLE IF NOT EXISTS kpi_fact.staff (
    user_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_no integer NOT NULL, "user" text COLLATE "C" NOT NULL,
    guest boolean NOT NULL DEFAULT false, department text COLLATE "C",      -- as the last refresh applied them
    UNIQUE (tenant_no, "user")
);
CREATE TABLE IF NOT EXISTS kpi_fact.inbox (
    tenant_no integer NOT NULL, id text COLLATE "C" NOT NULL, department text COLLATE "C", PRIMARY KEY (tenant_no, id)
);

-- The tenants as the last refresh applied them: numbers and buckets are of that zone and rule.
CREATE TABLE IF NOT EXISTS kpi_fact.tenant (
    tenant_no integer PRIMARY KEY,
    zone text NOT NULL,
    odd boolean NOT NULL,               -- kpi_admin.is_odd(zone)
    business_type text NOT NULL,
    session_rule text NOT NULL, session_length interval NOT NULL
);

-- When each experience had its first event.
CREATE TABLE IF NOT EXISTS kpi_fact.experience_start (
    tenant_no integer NOT NULL, experience text COLLATE "C" NOT NULL, at timestamptz NOT NULL,
    PRIMARY KEY (tenant_no, experience)
);

-- What the definitions say, written by `init`.
CREATE TABLE IF NOT EXISTS kpi_admin.kpi (
    kpi_id text PRIMARY KEY, position integer NOT NULL, family text NOT NULL,
    title text NOT NULL, description text NOT NULL, title_nl text NOT NULL, description_nl text NOT NULL,
    unit text NOT NULL, counting text NOT NULL, source text NOT NULL, fold text NOT NULL, grain text NOT NULL,
    entity text, distribution boolean NOT NULL, dims text[] NOT NULL,
    -- numerator = sum(numerators[i] * parts[i]) / per, denominator likewise; a KPI of its own is its only part
    parts text[] NOT NULL, numerators numeric[] NOT NULL, denominators numeric[] NOT NULL, per numeric NOT NULL,
    reads text[] NOT NULL,            -- facts (fact:event type where there is one) whose change makes its slices due
    definition text NOT NULL,
    stale boolean NOT NULL DEFAULT true,        -- new or changed: the next refresh builds all its slices
    view_due boolean NOT NULL DEFAULT false,    -- a long query held its public view: the next refresh has to move that
    form text NOT NULL DEFAULT ''     -- a fingerprint of all that its slices and views are made from (compile.forms)
);
-- How a dimension is had, as text that the planner pastes into its statements: an expression, and the join it needs if
-- it is the parent of another. In these texts a slice's row is called `s` and the asked range of its tenant `r`. They
-- are made in datasource/compile, which has the two names as SLICE_ROW and RANGE_ROW.
CREATE TABLE IF NOT EXISTS kpi_admin.dim (
    dim text PRIMARY KEY, expression text NOT NULL, join_sql text NOT NULL DEFAULT '', parent_of text, entity text
);
CREATE TABLE IF NOT EXISTS kpi_admin.slice (
    kpi_id text NOT NULL, first date NOT NULL, last date NOT NULL,      -- local days [first, last)
    relation text NOT NULL,
    newest_event timestamptz, refreshed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kpi_id, first)
);
-- The slices folded by day, without hours and dimensions, as most questions need them: sums, or how many counted.
--
-- A distinct count of a range is not the sum of its days: who counts on two of them counts once. So a day keeps when
-- those who count on it last counted before: `since` has these dates in ascending order (-infinity: never before),
-- and new[i] says how many last counted on since[i] or earlier. In a range that begins on day `a`, each day adds those
-- who have not counted in it yet: new[i] of its last since[i] < a.
-- Example: Ann counts on 1, 3 and 4 May, Bob on 3 May.
--   1 May  since {-infinity}         new {1}      Ann, for the first time
--   3 May  since {-infinity, 1 May}  new {1, 2}   Bob for the first time; with Ann, who last counted on 1 May, two
--   4 May  since {3 May}             new {1}      Ann, who last counted on 3 May
-- From 3 to 4 May count 2, not 3: on 3 May new[2] = 2, as since[2] = 1 May is before the range; on 4 May 0, as none is.
CREATE TABLE IF NOT EXISTS kpi_admin.day_amount (
    kpi_id text COLLATE "C" NOT NULL, tenant_no integer NOT NULL, day date NOT NULL, amount numeric,
    since date[], new integer[], PRIMARY KEY (kpi_id, tenant_no, day)
) WITH (toast_tuple_target = 8160);         -- a row is read in one piece
-- Who counted on each day, and when they last did before: what `new` is made from.
CREATE TABLE IF NOT EXISTS kpi_admin.counted_day (
    kpi_id text COLLATE "C" NOT NULL, entity integer NOT NULL, day date NOT NULL,
    tenant_no integer NOT NULL, before date NOT NULL,
    PRIMARY KEY (kpi_id, entity, day)
);
CREATE INDEX IF NOT EXISTS counted_day_day ON kpi_admin.counted_day (kpi_id, day, tenant_no);
-- Slices that nothing points to any more; dropped a while later, when no query can be reading them.
CREATE TABLE IF NOT EXISTS kpi_admin.retired_slice (
    relation text PRIMARY KEY, retired_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS kpi_admin.state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    load_no integer NOT NULL DEFAULT 0,         -- the last load that the facts hold
    generation bigint NOT NULL DEFAULT 0,
    refreshed_at timestamptz,
    full_due boolean NOT NULL DEFAULT false,    -- a fact's definition changed
    definitions text,                           -- a fingerprint of those that `init` brought
    publish_due boolean NOT NULL DEFAULT false  -- the numbers are of earlier ones: the next refresh publishes these
);
-- How many rows each fact has by kind and local month: how months share slices is planned with these.
CREATE TABLE IF NOT EXISTS kpi_admin.fact_month (
    fact text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL, month date NOT NULL, rows bigint NOT NULL,
    PRIMARY KEY (fact, kind, month)
);
CREATE TABLE IF NOT EXISTS kpi_admin.fact (fact text PRIMARY KEY, definition text NOT NULL);
INSERT INTO kpi_admin.state DEFAULT VALUES ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS kpi_admin.login (
    login name NOT NULL, tenant_id text NOT NULL, PRIMARY KEY (login, tenant_id)
);

-- Return whether the session is of the owner of the product's objects or of a superuser, who see all: by session_user,
-- so that no SET ROLE or setting helps.
-- This and the functions below answer to any reader, whose own search path must not matter: they set theirs, temporary
-- objects last, and say the schema of every table.
CREATE OR REPLACE FUNCTION kpi_admin.is_owner() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.rolsuper OR r.oid = (SELECT n.nspowner FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'kpi_admin')
    FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user
$$;

-- Return whether the session may set the present time: it is the server's, or sees all.
CREATE OR REPLACE FUNCTION kpi_admin.is_trusted() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT session_user = 'kpi_server' OR kpi_admin.is_owner()
$$;

-- Return the ids of the tenants that this session may see; null for all. The server's login reads no view itself: the
-- setting is what kpi_http.enter made of the token that came with a request.
CREATE OR REPLACE FUNCTION kpi_admin.visible_tenants() RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF session_user = 'kpi_server' THEN
        RETURN ARRAY(
            SELECT t.id FROM pg_catalog.jsonb_array_elements_text(
                coalesce(nullif(pg_catalog.current_setting('kpi.tenants', true), ''), '[]')::pg_catalog.jsonb) AS t (id)
        );
    ELSIF kpi_admin.is_owner() THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT l.tenant_id FROM kpi_admin.login AS l WHERE l.login = session_user);
END
$$;

-- Return the numbers of the tenants that this session may see, for the views.
CREATE OR REPLACE FUNCTION kpi_admin.visible_tenant_numbers() RETURNS integer[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(pg_catalog.array_agg(n.tenant_no), '{}') FROM kpi_data.tenant_number AS n,
        LATERAL (SELECT kpi_admin.visible_tenants() AS ids) AS v
    WHERE v.ids IS NULL OR n.tenant = ANY (v.ids)
$$;
