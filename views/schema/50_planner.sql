-- The planner: the one place that turns a question into lookups in slices.

-- A KPI's definition, or an error that says so.
CREATE OR REPLACE FUNCTION kpi_admin.definition(id text) RETURNS kpi_admin.kpi
LANGUAGE plpgsql STABLE AS $$
DECLARE
    k kpi_admin.kpi;
BEGIN
    SELECT * INTO k FROM kpi_admin.kpi WHERE kpi_id = id;
    IF NOT FOUND THEN
        PERFORM kpi_admin.refuse('unknown_kpi', format('there is no KPI %s', left(coalesce(id, 'null'), 100)), 'SELECT kpi_id, title FROM kpi.catalog lists them all.');
    END IF;
    k.definition := '';  -- long, and copied wherever k is handed on
    RETURN k;
END
$$;

-- Each name of `by` once, in order. Refuses dimensions, also those of conditions, that a KPI does not have.
CREATE OR REPLACE FUNCTION kpi_admin.known_dims(k kpi_admin.kpi, by text[], conditions jsonb) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    named jsonb := to_jsonb(by) || jsonb_path_query_array(conditions, '$[*].dim');
    known jsonb := to_jsonb(k.dims || ARRAY['tenant']);
BEGIN
    IF NOT named <@ known THEN
        PERFORM kpi_admin.refuse('unknown_dimension', format('%s has no dimension %s', k.kpi_id,
            (SELECT left(coalesce(n #>> '{}', 'null'), 100) FROM jsonb_array_elements(named) AS n WHERE NOT n <@ known LIMIT 1)),
            'It has: ' || array_to_string(k.dims || ARRAY['tenant'], ', ') || '.');
    END IF;
    RETURN kpi_admin.once(by);
END
$$;

-- The grain that a range is widened to.
CREATE OR REPLACE FUNCTION kpi_admin.grain(k kpi_admin.kpi, asked_from timestamptz, asked_to timestamptz, granularity text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    grain text := CASE WHEN k.grain = 'month' THEN 'month'
        ELSE coalesce(granularity, CASE WHEN asked_to - asked_from < interval '72 hours' THEN 'hour' ELSE 'day' END) END;
BEGIN
    IF asked_from IS NULL OR asked_to IS NULL OR asked_from >= asked_to THEN
        PERFORM kpi_admin.refuse('invalid_range', 'from must be before to');
    ELSIF asked_from < timestamptz '2000-01-01 00:00Z' OR asked_to > timestamptz '2101-01-01 00:00Z' THEN
        PERFORM kpi_admin.refuse('invalid_range', 'from and to lie in the years 2000 to 2100');
    ELSIF granularity IS NOT NULL AND granularity NOT IN ('day', 'hour') THEN
        PERFORM kpi_admin.refuse('invalid_granularity', 'granularity is day or hour');
    ELSIF grain = 'hour' AND asked_to - asked_from > 15 * interval '24 hours' THEN
        PERFORM kpi_admin.refuse('range_too_long', 'granularity hour may be asked for up to 15 days of 24 hours');
    END IF;
    RETURN grain;
END
$$;

-- The bucket of a series.
CREATE OR REPLACE FUNCTION kpi_admin.bucket(k kpi_admin.kpi, asked_from timestamptz, asked_to timestamptz, bucket text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    length interval := asked_to - asked_from;
BEGIN
    IF coalesce(bucket, 'auto') NOT IN ('auto', 'hour', 'day', 'week', 'month') THEN
        PERFORM kpi_admin.refuse('invalid_interval', 'the interval is hour, day, week, month or auto');
    ELSIF k.grain = 'month' THEN
        RETURN 'month';
    ELSIF bucket = 'hour' AND length > 100 * interval '24 hours' THEN
        PERFORM kpi_admin.refuse('range_too_long', 'interval hour may be asked for up to 100 days of 24 hours');
    ELSIF coalesce(bucket, 'auto') <> 'auto' THEN
        RETURN bucket;
    END IF;
    RETURN CASE
        WHEN length < interval '72 hours' THEN 'hour'
        WHEN length <= 92 * interval '24 hours' THEN 'day'
        WHEN length <= 400 * interval '24 hours' THEN 'week'
        ELSE 'month'
    END;
END
$$;

-- The range of every asked tenant, without days where now leaves nothing of it.
CREATE OR REPLACE FUNCTION kpi_admin.tenant_ranges(
    grain text, asked_from timestamptz, asked_to timestamptz, conditions jsonb, viewer_zone text
) RETURNS SETOF kpi_admin.tenant_range
LANGUAGE sql STABLE AS $$
    SELECT t.tenant_no, t.tenant, t.zone, w.first_day, w.last_day, w.starts, w.ends
    FROM kpi_admin.asked_tenants(conditions) AS t,
        kpi_admin.widened(grain, asked_from, asked_to, t.zone, viewer_zone) AS w
$$;

-- The text that reads a KPI's parts from the slices that overlap local days [from_day, to_day), as rows `s`.
-- Every name in it comes from kpi_admin.slice and kpi_admin.kpi, through %I; no value of a question does.
CREATE OR REPLACE FUNCTION kpi_admin.slices(k kpi_admin.kpi, columns text[], from_day date, to_day date) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        string_agg(
            format('SELECT tenant_no, day, hour%s, %s FROM kpi_slice.%I',
                (SELECT string_agg(format(', %I', c), '') FROM unnest(columns) AS c),
                CASE
                    WHEN k.entity IS NOT NULL THEN 'entity, 1 AS numerator, 0 AS denominator'
                    ELSE format('amount * %s AS numerator, amount * %s AS denominator', p.numerator, p.denominator)
                END, s.relation),
            ' UNION ALL '),
        -- No slice: no rows, of the right shape.
        format('SELECT 0 AS tenant_no, NULL::date AS day, NULL::timestamptz AS hour%s, 0 AS entity, 0 AS numerator, 0 AS denominator WHERE false',
            (SELECT string_agg(format(', NULL::text AS %I', c), '') FROM unnest(columns) AS c))
    )
    FROM unnest(k.parts, k.numerators, k.denominators) AS p (part, numerator, denominator)
    JOIN kpi_admin.slice AS s ON s.kpi_id = p.part AND s.first < to_day AND s.last > from_day
$$;

-- The key of the bucket that a local day belongs to; none in a total.
CREATE OR REPLACE FUNCTION kpi_admin.bucket_key(bucket text, day date) RETURNS timestamp
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE bucket WHEN 'total' THEN NULL WHEN 'day' THEN day::timestamp ELSE date_trunc(bucket, day::timestamp) END
$$;

-- A question of whole days without dimensions: its two sums by bucket key and tenant (0 when not asked by tenant), from what
-- is kept folded by day. Who counts is counted on the first such day of a bucket, or of the range when accumulated.
CREATE OR REPLACE FUNCTION kpi_admin.folded_days(
    k kpi_admin.kpi, ranges kpi_admin.tenant_range[], bucket text, by_tenant boolean, cumulative boolean
) RETURNS TABLE (key timestamp, who integer, numerator numeric, denominator numeric)
LANGUAGE sql STABLE AS $$
    SELECT b.key, CASE WHEN by_tenant THEN r.tenant_no ELSE 0 END,
        sum(CASE WHEN k.entity IS NULL THEN p.numerator * d.amount
            ELSE d.new[width_bucket(CASE WHEN cumulative THEN r.first_day ELSE greatest(b.key::date, r.first_day) END - 1, d.since)] END),
        sum(p.denominator * d.amount) FILTER (WHERE k.fold = 'ratio')
    FROM unnest(ranges) AS r CROSS JOIN unnest(k.parts, k.numerators, k.denominators) AS p (part, numerator, denominator)
    JOIN kpi_admin.day_amount AS d ON d.kpi_id = p.part AND d.tenant_no = r.tenant_no AND d.day >= r.first_day AND d.day < r.last_day
    CROSS JOIN LATERAL (SELECT kpi_admin.bucket_key(bucket, d.day)) AS b (key)
    GROUP BY 1, 2
$$;

-- The same of any question, from the slices themselves: with dimensions, with hours.
CREATE OR REPLACE FUNCTION kpi_admin.folded_slices(
    k kpi_admin.kpi, ranges kpi_admin.tenant_range[], hourly boolean, bucket text, conditions jsonb, by text[], cumulative boolean
) RETURNS TABLE (key timestamp, dims text[], numerator numeric, denominator numeric)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    needed text[] := ARRAY(SELECT DISTINCT n FROM unnest(by || ARRAY(SELECT c ->> 'dim' FROM jsonb_array_elements(conditions) AS c)) AS n WHERE n <> 'tenant');
    columns text[] := ARRAY(SELECT DISTINCT coalesce(d.parent_of, d.dim) FROM kpi_admin.dim AS d WHERE d.dim = ANY (needed));
    joins text := coalesce((SELECT string_agg(DISTINCT d.join_sql, ' ') FROM kpi_admin.dim AS d WHERE d.dim = ANY (needed)), '');
    -- The groups' dimensions as columns d1, d2, …, which are compared faster than one array of them.
    dims_as text := (SELECT string_agg(format(', %s AS d%s', d.expression, n.i), '' ORDER BY n.i) FROM unnest(by) WITH ORDINALITY AS n (dim, i) JOIN kpi_admin.dim AS d USING (dim));
    dims_only text := (SELECT string_agg(format('d%s', n.i), ', ' ORDER BY n.i) FROM unnest(by) WITH ORDINALITY AS n (dim, i));
    first date := (SELECT min(r.first_day) FROM unnest(ranges) AS r);
    last date := (SELECT max(r.last_day) FROM unnest(ranges) AS r);
    key_text text := CASE bucket
        WHEN 'hour' THEN 's.hour AT TIME ZONE ''UTC'''
        WHEN 'weekday hour' THEN 'date_trunc(''hour'', s.hour AT TIME ZONE r.zone)'
        ELSE format('kpi_admin.bucket_key(%L, s.day)', bucket)
    END;
    filter_text text;
    rows_text text;
BEGIN
    SELECT coalesce(string_agg(
        CASE
            WHEN c.condition ->> 'op' IN ('=', '!=') THEN
                format(' AND %s %s (ARRAY(SELECT jsonb_array_elements_text($2 -> %s -> ''values''))%s',
                    d.expression, CASE c.condition ->> 'op' WHEN '=' THEN '= ANY' ELSE '<> ALL' END, c.i - 1, ')')
            ELSE format(' AND kpi_admin.meets(%s, $2 -> %s)', d.expression, c.i - 1)
        END, ''), '')
    INTO filter_text
    FROM jsonb_array_elements(conditions) WITH ORDINALITY AS c (condition, i)
    JOIN kpi_admin.dim AS d ON d.dim = c.condition ->> 'dim' AND d.dim <> 'tenant';

    rows_text := format(
        '(%s) AS s JOIN unnest($1) AS r ON s.tenant_no = r.tenant_no AND s.day >= r.first_day AND s.day < r.last_day%s %s WHERE true%s',
        kpi_admin.slices(k, columns, first, last),
        CASE WHEN hourly THEN ' AND s.hour >= r.starts AND s.hour < r.ends' ELSE '' END, joins, filter_text
    );
    RETURN QUERY EXECUTE format(
        CASE
            WHEN k.entity IS NULL THEN
                'SELECT key, ARRAY[%3$s]::text[], n::numeric, d::numeric FROM (SELECT %1$s AS key%2$s, sum(numerator) AS n, sum(denominator) AS d FROM %4$s GROUP BY %5$s) AS folded'
            -- Accumulated, everyone counts where first seen: running sums over that are the distinct counts so far.
            WHEN cumulative THEN
                'SELECT key, ARRAY[%3$s]::text[], count(*)::numeric, 0::numeric FROM (SELECT min(%1$s) AS key%2$s FROM %4$s GROUP BY s.entity%6$s) AS seen GROUP BY %5$s'
            ELSE
                'SELECT key, ARRAY[%3$s]::text[], count(*)::numeric, 0::numeric FROM (SELECT DISTINCT %1$s AS key%2$s, s.entity FROM %4$s) AS seen GROUP BY %5$s'
        END,
        key_text, dims_as, dims_only, rows_text, concat_ws(', ', 'key', dims_only), ', ' || dims_only
    ) USING ranges, conditions;
END
$$;

-- Folded rows before zero-filling: the KPI's two sums by bucket key (null for a total) and dimensions. One statement, so that
-- it is inlined; only one of its halves is ever run.
CREATE OR REPLACE FUNCTION kpi_admin.folded(
    k kpi_admin.kpi, ranges kpi_admin.tenant_range[], hourly boolean, bucket text, conditions jsonb, by text[], cumulative boolean
) RETURNS TABLE (key timestamp, dims text[], numerator numeric, denominator numeric)
LANGUAGE sql STABLE AS $$
    SELECT f.key, CASE f.who WHEN 0 THEN '{}' ELSE ARRAY(SELECT r.tenant FROM unnest(ranges) AS r WHERE r.tenant_no = f.who) END, f.numerator, f.denominator
    FROM kpi_admin.folded_days(k, ranges, bucket, by <> '{}', cumulative) AS f
    WHERE kpi_admin.of_whole_days(hourly, bucket, conditions, by)
    UNION ALL
    SELECT * FROM kpi_admin.folded_slices(k, ranges, hourly, bucket, conditions, by, cumulative)
    WHERE NOT kpi_admin.of_whole_days(hourly, bucket, conditions, by)
$$;

-- Whether a question needs neither hours nor dimensions but tenants.
CREATE OR REPLACE FUNCTION kpi_admin.of_whole_days(hourly boolean, bucket text, conditions jsonb, by text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT NOT hourly AND bucket NOT IN ('hour', 'weekday hour') AND by <@ '{tenant}' AND NOT jsonb_path_exists(conditions, '$[*] ? (@.dim != "tenant")')
$$;

-- The months of a `value` KPI that have one, by tenant: each row of its slice holds until the next, until the month of now.
CREATE OR REPLACE FUNCTION kpi_admin.month_values(id text) RETURNS TABLE (tenant_no integer, month date, value numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation pg_catalog.name := (SELECT s.relation FROM kpi_admin.slice AS s WHERE s.kpi_id = id);
BEGIN
    IF relation IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT h.tenant_no, m::date, h.amount
         FROM (SELECT s.tenant_no, s.day, s.amount::numeric, lead(s.day) OVER (PARTITION BY s.tenant_no ORDER BY s.day) AS until FROM kpi_slice.%I AS s) AS h
         JOIN kpi_fact.tenant AS t ON t.tenant_no = h.tenant_no
         CROSS JOIN LATERAL generate_series(h.day::timestamp,
            least(h.until - interval ''1 month'', date_trunc(''month'', kpi_admin.now() AT TIME ZONE t.zone)), interval ''1 month'') AS m
         WHERE h.amount IS NOT NULL', relation);
END
$$;

-- Points of a `value` KPI. A flow's months add up, a level's total is its latest month's; several tenants add up.
CREATE OR REPLACE FUNCTION kpi_admin.value_points(
    k kpi_admin.kpi, ranges kpi_admin.tenant_range[], shape text, by text[]
) RETURNS TABLE (key timestamp, dims text[], value numeric)
LANGUAGE sql STABLE AS $$
    WITH months AS (
        SELECT r.tenant_no, r.tenant, m.month, v.value
        FROM unnest(ranges) AS r
        CROSS JOIN (SELECT b.key::date AS month FROM kpi_admin.buckets(ranges, 'month', NULL) AS b) AS m
        LEFT JOIN kpi_admin.month_values(k.kpi_id) AS v
            ON v.tenant_no = r.tenant_no AND v.month = m.month AND m.month >= r.first_day AND m.month < r.last_day
    ), by_tenant AS (
        SELECT month, tenant,
            CASE
                WHEN shape = 'series' THEN value
                WHEN k.fold = 'level' THEN (array_agg(value) FILTER (WHERE value IS NOT NULL) OVER w)[count(value) OVER w]
                ELSE sum(value) OVER w
            END AS value,
            month = max(month) OVER (PARTITION BY tenant) AS latest
        FROM months
        WINDOW w AS (PARTITION BY tenant ORDER BY month)
    )
    SELECT
        CASE WHEN shape = 'total' THEN NULL::timestamp ELSE month::timestamp END,
        ARRAY(SELECT tenant FROM unnest(by)), sum(value)
    FROM by_tenant
    WHERE shape <> 'total' OR latest
    GROUP BY 1, 2
    -- A tenant is listed as a group when a month of the range has a value.
    HAVING cardinality(by) = 0 OR (array_agg(tenant))[1] IN (SELECT tenant FROM months WHERE months.value IS NOT NULL)
$$;

-- The points of a question over given ranges: every bucket of every group, in order, with its value.
CREATE OR REPLACE FUNCTION kpi_admin.points(
    k kpi_admin.kpi, ranges kpi_admin.tenant_range[], hourly boolean, shape text, bucket text, conditions jsonb, by text[], viewer_zone text
) RETURNS TABLE (pos bigint, instant timestamptz, dims text[], value numeric)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF k.fold IN ('value', 'level') THEN
        RETURN QUERY
        SELECT coalesce(b.pos, 1), b.instant, v.dims, v.value
        FROM kpi_admin.value_points(k, ranges, shape, by) AS v
        LEFT JOIN kpi_admin.buckets(ranges, 'month', viewer_zone) AS b ON b.key = v.key AND shape <> 'total';
    ELSIF shape = 'total' THEN
        RETURN QUERY
        SELECT 1::bigint, NULL::timestamptz, f.dims,
            CASE k.fold WHEN 'ratio' THEN f.numerator / nullif(f.denominator, 0) ELSE f.numerator / k.per END
        FROM kpi_admin.folded(k, ranges, hourly, 'total', conditions, by, false) AS f
        WHERE cardinality(by) = 0 OR k.fold <> 'ratio' OR f.denominator <> 0;
    ELSE
        RETURN QUERY
        WITH f AS MATERIALIZED (
            SELECT * FROM kpi_admin.folded(k, ranges, hourly, bucket, conditions, by, shape = 'cumulative')
        ), b AS MATERIALIZED (
            SELECT * FROM kpi_admin.buckets(ranges, bucket, viewer_zone)
        ), g AS MATERIALIZED (
            SELECT f.dims FROM f GROUP BY f.dims HAVING k.fold <> 'ratio' OR sum(f.denominator) <> 0
            UNION SELECT '{}'::text[] WHERE cardinality(by) = 0
        ), size AS (
            SELECT kpi_admin.check_size((SELECT count(*) FROM b) * (SELECT count(*) FROM g)) AS points
        ), filled AS MATERIALIZED (
            SELECT b.pos, b.instant, g.dims, f.numerator, f.denominator
            FROM size CROSS JOIN g CROSS JOIN b
            LEFT JOIN f ON f.dims = g.dims AND f.key = b.key
            WHERE size.points >= 0
        ), summed AS (
            SELECT s.pos, s.instant, s.dims, sum(s.numerator) OVER w AS numerator, sum(s.denominator) OVER w AS denominator
            FROM filled AS s WHERE shape = 'cumulative' WINDOW w AS (PARTITION BY s.dims ORDER BY s.pos)
            UNION ALL SELECT s.* FROM filled AS s WHERE shape <> 'cumulative'
        )
        SELECT x.pos, x.instant, x.dims,
            CASE k.fold WHEN 'ratio' THEN x.numerator / nullif(x.denominator, 0) ELSE coalesce(x.numerator, 0) / k.per END
        FROM summed AS x;
    END IF;
    IF NOT FOUND AND shape = 'total' AND cardinality(by) = 0 THEN
        RETURN QUERY SELECT 1::bigint, NULL::timestamptz, '{}'::text[], kpi_admin.nothing(k);
    END IF;
END
$$;

-- The value of a KPI where nothing counts.
CREATE OR REPLACE FUNCTION kpi_admin.nothing(k kpi_admin.kpi) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN k.fold IN ('sum', 'distinct') THEN 0::numeric END $$;

CREATE OR REPLACE FUNCTION kpi_admin.check_size(points bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF points > 100000 THEN
        PERFORM kpi_admin.refuse('too_many_points', format('the answer would have %s points; the most is 100,000', points),
            'Take a longer interval, a shorter range, or fewer groups.');
    END IF;
    RETURN points;
END
$$;

-- Every answer but a distribution. `shape`: total, series or cumulative; `previous` is filled when `compare`.
CREATE OR REPLACE FUNCTION kpi_admin.answer(
    kpi_id text, shape text, asked_from timestamptz, asked_to timestamptz, bucket text, filters jsonb, by text[],
    granularity text, asked_zone text DEFAULT NULL, compare boolean DEFAULT false
) RETURNS TABLE (bucket_start timestamptz, dims text[], value numeric, previous numeric)
-- Planning the constant statements on the way takes longer than running them.
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    k kpi_admin.kpi := kpi_admin.definition(kpi_id);
    viewer_zone text := kpi_admin.known_zone(asked_zone);
    grain text := kpi_admin.grain(k, asked_from, asked_to, granularity);
    of_bucket text := kpi_admin.bucket(k, asked_from, asked_to, bucket);
    conditions jsonb := kpi_admin.conditions(filters);
    dim_names text[] := kpi_admin.known_dims(k, by, conditions);
    ranges kpi_admin.tenant_range[];
    before kpi_admin.tenant_range[];
    buckets_before bigint := 1;
BEGIN
    ranges := ARRAY(SELECT r FROM kpi_admin.tenant_ranges(grain, asked_from, asked_to, conditions, viewer_zone) AS r);
    IF shape = 'total' THEN
        of_bucket := 'total';
    ELSIF of_bucket = 'hour' AND (SELECT count(DISTINCT r.zone) FROM unnest(ranges) AS r) > 1 THEN
        PERFORM kpi_admin.refuse('mixed_time_zones', 'a series by hours of several tenants needs tenants of one time zone', 'Ask for one tenant, or for days.');
    END IF;
    IF NOT compare THEN
        RETURN QUERY
        SELECT p.instant, p.dims, p.value, NULL::numeric
        FROM kpi_admin.points(k, ranges, grain = 'hour', shape, of_bucket, conditions, dim_names, viewer_zone) AS p
        ORDER BY p.pos, p.dims COLLATE "C";
        RETURN;
    END IF;
    before := ARRAY(SELECT kpi_admin.range_before(r, grain) FROM unnest(ranges) AS r);
    IF shape <> 'total' THEN
        SELECT count(*) INTO buckets_before FROM kpi_admin.buckets(before, of_bucket, viewer_zone);
    END IF;
    RETURN QUERY
    SELECT p.instant, p.dims, p.value, CASE WHEN q.pos IS NOT NULL THEN q.value WHEN p.pos <= buckets_before THEN kpi_admin.nothing(k) END
    FROM kpi_admin.points(k, ranges, grain = 'hour', shape, of_bucket, conditions, dim_names, viewer_zone) AS p
    LEFT JOIN kpi_admin.points(k, before, grain = 'hour', shape, of_bucket, conditions, dim_names, viewer_zone) AS q
        ON q.pos = p.pos AND q.dims = p.dims
    ORDER BY p.pos, p.dims COLLATE "C";
END
$$;
