-- What people use: schema kpi. Everything here runs as its owner and shows the reader's tenants only.

CREATE OR REPLACE FUNCTION kpi.total(
    kpi_id text, "from" timestamptz, "to" timestamptz, filters jsonb DEFAULT '{}', by text[] DEFAULT '{}', granularity text DEFAULT NULL
) RETURNS TABLE (dims jsonb, value numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT jsonb_object(kpi_admin.once(by), a.dims), a.value
    FROM kpi_admin.answer(kpi_id, 'total', "from", "to", NULL, filters, coalesce(by, '{}'), granularity) AS a
$$;
COMMENT ON FUNCTION kpi.total IS 'A KPI over a range, for each group: SELECT * FROM kpi.total(''sessions'', ''2026-01-01'', ''2026-02-01'', ''{"tenant": "acme"}'', ''{device}'').';

DO $$
BEGIN
    -- A type of its own, since the answer's column `bucket` shares its name with a parameter.
    CREATE TYPE kpi.point AS (bucket timestamptz, dims jsonb, value numeric);
EXCEPTION WHEN duplicate_object THEN
    NULL;
END
$$;

CREATE OR REPLACE FUNCTION kpi.series(
    kpi_id text, "from" timestamptz, "to" timestamptz, bucket text DEFAULT 'auto', filters jsonb DEFAULT '{}', by text[] DEFAULT '{}',
    cumulative boolean DEFAULT false, granularity text DEFAULT NULL
) RETURNS SETOF kpi.point
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT a.bucket_start, jsonb_object(kpi_admin.once(by), a.dims), a.value
    FROM kpi_admin.answer(kpi_id, CASE WHEN cumulative THEN 'cumulative' ELSE 'series' END, "from", "to", bucket, filters, coalesce(by, '{}'), granularity) AS a
$$;
COMMENT ON FUNCTION kpi.series IS 'A KPI by hour, day, week or month of the tenant''s zone; cumulative: from the range''s start to each bucket''s end.';

CREATE OR REPLACE FUNCTION kpi.distribution(kpi_id text, "from" timestamptz, "to" timestamptz, filters jsonb DEFAULT '{}')
RETURNS TABLE (weekday text, hour text, value numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k kpi_admin.kpi := kpi_admin.definition(kpi_id);
    conditions jsonb := kpi_admin.conditions(filters);
    ranges kpi_admin.tenant_range[];
BEGIN
    IF NOT k.distribution THEN
        PERFORM kpi_admin.refuse('no_distribution', format('%s has no distribution', k.kpi_id), 'Active conversations, new conversations, messages, effective chats and leads have one.');
    END IF;
    PERFORM kpi_admin.grain(k, "from", "to", 'day');
    PERFORM kpi_admin.known_dims(k, '{}', conditions);
    ranges := ARRAY(SELECT r FROM kpi_admin.tenant_ranges('day', "from", "to", conditions, kpi_admin.known_zone(current_setting('kpi.viewer_zone', true))) AS r);
    RETURN QUERY
    WITH f AS (
        SELECT f.dims[1] AS tenant, extract(isodow FROM f.key) AS d, extract(hour FROM f.key) AS h, sum(f.numerator) AS n
        FROM kpi_admin.folded(k, ranges, false, 'weekday hour', conditions, '{tenant}', false) AS f
        GROUP BY 1, 2, 3
    ), dates AS (
        SELECT r.tenant, extract(isodow FROM b.key) AS d, count(*) AS n
        FROM unnest(ranges) AS r, kpi_admin.buckets(ARRAY[r], 'day', NULL) AS b
        GROUP BY 1, 2
    ), averages AS (
        SELECT dates.d, hours.h, coalesce(f.n, 0) / dates.n AS average
        FROM dates CROSS JOIN generate_series(0, 23) AS hours (h)
        LEFT JOIN f ON f.tenant = dates.tenant AND f.d = dates.d AND f.h = hours.h
    )
    SELECT days.d::text, hours.h::text, sum(a.average)
    FROM generate_series(1, 7) AS days (d) CROSS JOIN generate_series(0, 23) AS hours (h)
    LEFT JOIN averages AS a ON a.d = days.d AND a.h = hours.h
    GROUP BY days.d, hours.h
    ORDER BY days.d, hours.h;
END
$$;
COMMENT ON FUNCTION kpi.distribution IS 'Average of a messaging metric per weekday (1 is Monday) and local hour, over the dates of that weekday in the range.';

CREATE OR REPLACE FUNCTION kpi_admin.hits(kpi_id text, asked_from timestamptz, asked_to timestamptz, filters jsonb, granularity text, asked_zone text, at_most bigint, skip bigint)
RETURNS TABLE (tenant_id text, at timestamptz, kind text, id text, contact text, conversation text, amount numeric, dims jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    k kpi_admin.kpi := kpi_admin.definition(kpi_id);
    grain text := kpi_admin.grain(k, asked_from, asked_to, granularity);
    conditions jsonb := kpi_admin.conditions(filters);
    ranges kpi_admin.tenant_range[];
    columns text[] := ARRAY(SELECT DISTINCT coalesce(d.parent_of, d.dim) FROM kpi_admin.dim AS d WHERE d.dim = ANY (k.dims));
    names text := coalesce((SELECT string_agg(format(', %I', c), '') FROM unnest(columns) AS c), '');
    parts text;
    filter_text text;
BEGIN
    PERFORM kpi_admin.known_dims(k, '{}', conditions);
    ranges := ARRAY(SELECT r FROM kpi_admin.tenant_ranges(grain, asked_from, asked_to, conditions, kpi_admin.known_zone(asked_zone)) AS r);
    SELECT string_agg(format(
        'SELECT h.tenant_no, h.at, h.kind, h.id, h.contact_no, h.conversation_no%s, h.amount * %s AS numerator, h.amount * %s AS denominator
         FROM unnest($1) AS r JOIN kpi_hits.%I AS h ON h.tenant_no = r.tenant_no
            AND h.local_day >= r.first_day AND h.local_day < r.last_day AND h.at >= r.starts AND h.at < r.ends',
        names, p.numerator, p.denominator, p.part), ' UNION ALL ')
    INTO parts FROM unnest(k.parts, k.numerators, k.denominators) AS p (part, numerator, denominator);
    SELECT coalesce(string_agg(format(' AND kpi_admin.meets(%s, $2 -> %s)', d.expression, c.i - 1), ''), '')
    INTO filter_text
    FROM jsonb_array_elements(conditions) WITH ORDINALITY AS c (condition, i)
    JOIN kpi_admin.dim AS d ON d.dim = c.condition ->> 'dim' AND d.dim <> 'tenant';  -- tenants are chosen by their ranges
    RETURN QUERY EXECUTE format(
        'SELECT tn.tenant, s.at, s.kind, s.id, c.contact, v.conversation, %s, jsonb_build_object(%s)
         FROM (SELECT tenant_no, at, kind, id, contact_no, conversation_no%s, sum(numerator) AS numerator, sum(denominator) AS denominator
               FROM (%s) AS p GROUP BY tenant_no, at, kind, id, contact_no, conversation_no%s) AS s
         JOIN kpi_data.tenant_number AS tn ON tn.tenant_no = s.tenant_no
         LEFT JOIN kpi_fact.contact AS c ON c.contact_no = s.contact_no
         LEFT JOIN kpi_fact.conversation AS v ON v.conversation_no = s.conversation_no %s
         WHERE %s%s ORDER BY s.at, s.id LIMIT $3 OFFSET $4',
        CASE WHEN k.fold = 'ratio' THEN 's.numerator / s.denominator' ELSE format('s.numerator / %s', k.per) END,
        (SELECT string_agg(format('%L, %s', d.dim, d.expression), ', ') FROM kpi_admin.dim AS d WHERE d.dim = ANY (k.dims)),
        names, parts, names,
        coalesce((SELECT string_agg(DISTINCT d.join_sql, ' ') FROM kpi_admin.dim AS d WHERE d.dim = ANY (k.dims)), ''),
        CASE WHEN k.fold = 'ratio' THEN 's.denominator <> 0' ELSE 'true' END, filter_text
    ) USING ranges, conditions, at_most, skip;
END
$$;

CREATE OR REPLACE FUNCTION kpi.hits(kpi_id text, "from" timestamptz, "to" timestamptz, filters jsonb DEFAULT '{}', granularity text DEFAULT NULL)
RETURNS TABLE (tenant_id text, at timestamptz, kind text, id text, contact text, conversation text, amount numeric, dims jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM kpi_admin.hits(kpi_id, "from", "to", filters, granularity, NULL, NULL, 0)
$$;
COMMENT ON FUNCTION kpi.hits IS 'What a number counts: an event, session or conversation a row, with what it adds.';

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
COMMENT ON COLUMN kpi.catalog.counting IS 'How it counts: count, sum, sessions, distinct …, first …, ratio, score, value.';
COMMENT ON COLUMN kpi.catalog.dims IS 'The dimensions it can be grouped and filtered by, besides tenant.';
COMMENT ON COLUMN kpi.catalog.view_name IS 'The view with its rows.';
COMMENT ON COLUMN kpi.catalog.source IS 'The events, sessions or formula it comes from.';

CREATE OR REPLACE VIEW kpi.freshness AS
SELECT 'kpi.' || k.kpi_id AS view_name,
    ARRAY(SELECT u.kpi_id FROM kpi_admin.kpi AS u WHERE k.kpi_id = ANY (u.parts) ORDER BY u.position) AS kpi_ids,
    state.refreshed_at, s.newest_event, coalesce(now() - waiting.since, interval '0') AS behind
FROM kpi_admin.kpi AS k
CROSS JOIN kpi_admin.state
CROSS JOIN (
    SELECT min(l.loaded_at) AS since FROM kpi_admin.load AS l, kpi_admin.state AS st WHERE l.load_no > st.load_no AND l.taken > 0
) AS waiting
LEFT JOIN (SELECT kpi_id, max(newest_event) AS newest_event FROM kpi_admin.slice GROUP BY kpi_id) AS s ON s.kpi_id = k.kpi_id
WHERE k.fold <> 'ratio'
ORDER BY k.position;
COMMENT ON VIEW kpi.freshness IS 'How fresh each view is.';
COMMENT ON COLUMN kpi.freshness.view_name IS 'The view.';
COMMENT ON COLUMN kpi.freshness.kpi_ids IS 'The KPIs that read it.';
COMMENT ON COLUMN kpi.freshness.refreshed_at IS 'When it was last brought up to date.';
COMMENT ON COLUMN kpi.freshness.newest_event IS 'The time of the newest event it holds.';
COMMENT ON COLUMN kpi.freshness.behind IS 'The age of the oldest load that it does not hold yet; 0 when it holds all.';

COMMENT ON SCHEMA kpi IS 'KPIs of chat and messaging: a view each, and total, series, distribution and hits for what a sum over rows cannot give.';
