-- What people use: schema kpi. Everything here runs as its owner and shows the reader's tenants only.

DO $$
BEGIN
    -- A type of its own, since the answer's column `bucket` shares its name with a parameter.
    CREATE TYPE kpi.point AS (bucket timestamptz, dims jsonb, value numeric);
EXCEPTION WHEN duplicate_object THEN
    NULL;
END
$$;

-- Each function of the schema kpi takes its range as instants, as dates and as texts; texts are dates or times with an
-- offset, and what PostgreSQL takes untyped literals for. Dates are those of the tenant's own clock, whatever the
-- session's zone. What the functions do is in their COMMENTs below.

-- Return a KPI over a range, for each group.
CREATE OR REPLACE FUNCTION kpi_admin.total(
    kpi_id text, asked kpi_admin.asked_range, filters jsonb, by text[], granularity text
) RETURNS TABLE (dims jsonb, value numeric)
LANGUAGE sql STABLE AS $$
    SELECT jsonb_object(coalesce(kpi_admin.once(by), '{}'), a.dims), trim_scale(a.value)
    FROM kpi_admin.answer(
        kpi_admin.plan(kpi_id, 'total', asked, NULL, kpi_admin.conditions(filters), by, granularity)) AS a
$$;

-- Return a KPI by the buckets of a range, for each group; cumulative: from the range's start to each bucket's end.
CREATE OR REPLACE FUNCTION kpi_admin.series(
    kpi_id text, asked kpi_admin.asked_range, bucket text, filters jsonb, by text[], cumulative boolean,
    granularity text
) RETURNS SETOF kpi.point
LANGUAGE sql STABLE AS $$
    SELECT a.bucket_start, jsonb_object(coalesce(kpi_admin.once(by), '{}'), a.dims), trim_scale(a.value)
    FROM kpi_admin.answer(kpi_admin.plan(kpi_id, CASE WHEN cumulative THEN 'cumulative' ELSE 'series' END, asked,
        bucket, kpi_admin.conditions(filters), by, granularity)) AS a
$$;

CREATE OR REPLACE FUNCTION kpi.total(
    kpi_id text, "from" timestamptz, "to" timestamptz, filters jsonb DEFAULT '{}', by text[] DEFAULT '{}',
    granularity text DEFAULT NULL
) RETURNS TABLE (dims jsonb, value numeric)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT * FROM kpi_admin.total(kpi_id, kpi_admin.between_instants("from", "to", NULL), filters, by, granularity)
$$;

CREATE OR REPLACE FUNCTION kpi.total(
    kpi_id text, "from" date, "to" date, filters jsonb DEFAULT '{}', by text[] DEFAULT '{}',
    granularity text DEFAULT NULL
) RETURNS TABLE (dims jsonb, value numeric)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT * FROM kpi_admin.total(kpi_id, kpi_admin.between_dates("from", "to"), filters, by, granularity)
$$;

CREATE OR REPLACE FUNCTION kpi.total(
    kpi_id text, "from" text, "to" text, filters jsonb DEFAULT '{}', by text[] DEFAULT '{}',
    granularity text DEFAULT NULL
) RETURNS TABLE (dims jsonb, value numeric)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT * FROM kpi_admin.total(kpi_id, kpi_admin.between_texts("from", "to"), filters, by, granularity)
$$;

CREATE OR REPLACE FUNCTION kpi.series(
    kpi_id text, "from" timestamptz, "to" timestamptz, bucket text DEFAULT 'auto', filters jsonb DEFAULT '{}',
    by text[] DEFAULT '{}', cumulative boolean DEFAULT false, granularity text DEFAULT NULL
) RETURNS SETOF kpi.point
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT * FROM kpi_admin.series(
        kpi_id, kpi_admin.between_instants("from", "to", NULL), bucket, filters, by, cumulative, granularity)
$$;

CREATE OR REPLACE FUNCTION kpi.series(
    kpi_id text, "from" date, "to" date, bucket text DEFAULT 'auto', filters jsonb DEFAULT '{}',
    by text[] DEFAULT '{}', cumulative boolean DEFAULT false, granularity text DEFAULT NULL
) RETURNS SETOF kpi.point
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT * FROM kpi_admin.series(
        kpi_id, kpi_admin.between_dates("from", "to"), bucket, filters, by, cumulative, granularity)
$$;

CREATE OR REPLACE FUNCTION kpi.series(
    kpi_id text, "from" text, "to" text, bucket text DEFAULT 'auto', filters jsonb DEFAULT '{}',
    by text[] DEFAULT '{}', cumulative boolean DEFAULT false, granularity text DEFAULT NULL
) RETURNS SETOF kpi.point
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT * FROM kpi_admin.series(
        kpi_id, kpi_admin.between_texts("from", "to"), bucket, filters, by, cumulative, granularity)
$$;

CREATE OR REPLACE FUNCTION kpi.distribution(
    kpi_id text, "from" timestamptz, "to" timestamptz, filters jsonb DEFAULT '{}'
) RETURNS TABLE (weekday text, hour text, value numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.weekday, d.hour, trim_scale(d.value)
    FROM kpi_admin.distribution(kpi_admin.plan(kpi_id, 'distribution', kpi_admin.between_instants("from", "to", NULL),
        NULL, kpi_admin.conditions(filters), '{}', NULL)) AS d
$$;

CREATE OR REPLACE FUNCTION kpi.distribution(
    kpi_id text, "from" date, "to" date, filters jsonb DEFAULT '{}'
) RETURNS TABLE (weekday text, hour text, value numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.weekday, d.hour, trim_scale(d.value)
    FROM kpi_admin.distribution(kpi_admin.plan(kpi_id, 'distribution', kpi_admin.between_dates("from", "to"),
        NULL, kpi_admin.conditions(filters), '{}', NULL)) AS d
$$;

CREATE OR REPLACE FUNCTION kpi.distribution(
    kpi_id text, "from" text, "to" text, filters jsonb DEFAULT '{}'
) RETURNS TABLE (weekday text, hour text, value numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.weekday, d.hour, trim_scale(d.value)
    FROM kpi_admin.distribution(kpi_admin.plan(kpi_id, 'distribution', kpi_admin.between_texts("from", "to"),
        NULL, kpi_admin.conditions(filters), '{}', NULL)) AS d
$$;

CREATE OR REPLACE FUNCTION kpi.hits(
    kpi_id text, "from" timestamptz, "to" timestamptz, filters jsonb DEFAULT '{}', granularity text DEFAULT NULL
) RETURNS TABLE (
    tenant_id text, at timestamptz, kind text, id text, contact text, conversation text, amount numeric, dims jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.tenant_id, h.at, h.kind, h.id, h.contact, h.conversation, trim_scale(h.amount), h.dims
    FROM kpi_admin.hits(kpi_admin.plan(kpi_id, 'total', kpi_admin.between_instants("from", "to", NULL),
        NULL, kpi_admin.conditions(filters), '{}', granularity), NULL, 0) AS h
$$;

CREATE OR REPLACE FUNCTION kpi.hits(
    kpi_id text, "from" date, "to" date, filters jsonb DEFAULT '{}', granularity text DEFAULT NULL
) RETURNS TABLE (
    tenant_id text, at timestamptz, kind text, id text, contact text, conversation text, amount numeric, dims jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.tenant_id, h.at, h.kind, h.id, h.contact, h.conversation, trim_scale(h.amount), h.dims
    FROM kpi_admin.hits(kpi_admin.plan(kpi_id, 'total', kpi_admin.between_dates("from", "to"),
        NULL, kpi_admin.conditions(filters), '{}', granularity), NULL, 0) AS h
$$;

CREATE OR REPLACE FUNCTION kpi.hits(
    kpi_id text, "from" text, "to" text, filters jsonb DEFAULT '{}', granularity text DEFAULT NULL
) RETURNS TABLE (
    tenant_id text, at timestamptz, kind text, id text, contact text, conversation text, amount numeric, dims jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.tenant_id, h.at, h.kind, h.id, h.contact, h.conversation, trim_scale(h.amount), h.dims
    FROM kpi_admin.hits(kpi_admin.plan(kpi_id, 'total', kpi_admin.between_texts("from", "to"),
        NULL, kpi_admin.conditions(filters), '{}', granularity), NULL, 0) AS h
$$;

DO $$
DECLARE
    described record;
BEGIN
    FOR described IN
        SELECT p.oid::regprocedure AS function, w.words
        FROM (VALUES
            ('total', 'A KPI over a range, for each group: SELECT * FROM kpi.total(''sessions'', ''2026-10-01'', '
                '''2026-11-01'', ''{"tenant": "acme"}'', ''{device}'').'),
            ('series', 'A KPI by hour, day, week or month of the tenant''s clock; cumulative: from the range''s start '
                'to each bucket''s end.'),
            ('distribution', 'Average of a messaging metric per weekday (1 is Monday) and local hour, over the dates '
                'of that weekday in the range.'),
            ('hits', 'What a number counts: an event, session or conversation a row, with what it adds.')
        ) AS w (name, words)
        JOIN pg_proc AS p ON p.proname = w.name AND p.pronamespace = 'kpi'::regnamespace
    LOOP
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', described.function, described.words
            || ' The range ends before "to". A date is the tenant''s own; a text is a date, or a time with its '
            'offset.');
    END LOOP;
END
$$;

CREATE OR REPLACE VIEW kpi.catalog AS
SELECT k.kpi_id, k.family, k.title, k.description, k.title_nl, k.description_nl, k.unit, k.counting, k.dims,
    'kpi.' || k.kpi_id AS view_name, k.source
FROM kpi_admin.kpi AS k
ORDER BY k.position;
COMMENT ON VIEW kpi.catalog IS 'Every KPI: what it counts, how, by which dimensions, and the view that has it.';
COMMENT ON COLUMN kpi.catalog.kpi_id IS 'The name used everywhere: SQL, HTTP, dashboards.';
COMMENT ON COLUMN kpi.catalog.family IS 'experience, module, messaging, potential, after_sales or bots.';
COMMENT ON COLUMN kpi.catalog.title IS 'Its name in English.';
COMMENT ON COLUMN kpi.catalog.description IS 'What it counts, in English.';
COMMENT ON COLUMN kpi.catalog.title_nl IS 'Its name in Dutch.';
COMMENT ON COLUMN kpi.catalog.description_nl IS 'What it counts, in Dutch.';
COMMENT ON COLUMN kpi.catalog.unit IS 'none, minutes, percent or score -100..100.';
COMMENT ON COLUMN kpi.catalog.counting IS
    'How it counts: count, sum, sessions, distinct …, first …, ratio, score, value.';
COMMENT ON COLUMN kpi.catalog.dims IS 'The dimensions it can be grouped and filtered by, besides tenant.';
COMMENT ON COLUMN kpi.catalog.view_name IS 'The view with its rows.';
COMMENT ON COLUMN kpi.catalog.source IS 'The events, sessions or formula it comes from.';

COMMENT ON SCHEMA kpi IS 'KPIs of chat and messaging: a view each, and total, series, distribution and hits for what a '
    'sum over rows cannot give.';
