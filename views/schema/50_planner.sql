-- The fold: a KPI's two sums by bucket and group, from the slices or from what is kept of them by day.

-- Return the SQL that reads a KPI's parts from the slices that overlap local days [from_day, to_day), as rows `s`; with
-- `exact`, from the contributions themselves, each at its own instant in place of its hour.
-- Every name in it comes from kpi_admin.slice and kpi_admin.kpi, through %I; no value of a question does.
CREATE OR REPLACE FUNCTION kpi_admin.slices(
    k kpi_admin.kpi, columns text[], from_day date, to_day date, exact boolean DEFAULT false
) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        string_agg(
            format('SELECT tenant_no, day, %s AS hour%s, %s FROM %s',
                CASE WHEN exact THEN 'at' ELSE 'hour' END,
                (SELECT string_agg(format(', %I', c), '') FROM unnest(columns) AS c),
                CASE
                    WHEN k.entity IS NOT NULL THEN 'entity, 1 AS numerator, 0 AS denominator'
                    ELSE format('amount * %s AS numerator, amount * %s AS denominator', p.numerator, p.denominator)
                END, source.relation),
            ' UNION ALL '),
        -- No slice: no rows, of the right shape.
        format('SELECT 0 AS tenant_no, NULL::date AS day, NULL::timestamptz AS hour%s, 0 AS entity, 0 AS numerator,
                0 AS denominator WHERE false',
            (SELECT string_agg(format(', NULL::text AS %I', c), '') FROM unnest(columns) AS c))
    )
    FROM unnest(k.parts, k.numerators, k.denominators) AS p (part, numerator, denominator)
    CROSS JOIN LATERAL (
        SELECT format('kpi_slice.%I', s.relation) AS relation FROM kpi_admin.slice AS s
        WHERE NOT exact AND s.kpi_id = p.part AND s.first < to_day AND s.last > from_day
        UNION ALL
        SELECT format('kpi_hits.%I WHERE local_day >= %L AND local_day < %L', p.part, from_day, to_day) WHERE exact
    ) AS source
$$;

-- Return the key of the bucket that a local day belongs to; none in a total.
CREATE OR REPLACE FUNCTION kpi_admin.bucket_key(bucket text, day date) RETURNS timestamp
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE bucket WHEN 'total' THEN NULL WHEN 'day' THEN day::timestamp ELSE date_trunc(bucket, day::timestamp) END
$$;

-- Fold a question of whole days without dimensions from kpi_admin.day_amount: its two sums by bucket key and tenant (0
-- when not asked by tenant). An entity counts once per bucket, on its first day in it; with `cumulative`, once per
-- range. So a day adds the entities that last appeared before the bucket (or the range) began.
CREATE OR REPLACE FUNCTION kpi_admin.folded_days(
    k kpi_admin.kpi, ranges kpi_admin.tenant_range[], bucket text, by_tenant boolean, cumulative boolean
) RETURNS TABLE (key timestamp, tenant_no integer, numerator numeric, denominator numeric)
LANGUAGE sql STABLE AS $$
    SELECT b.key, CASE WHEN by_tenant THEN r.tenant_no ELSE 0 END,
        sum(CASE WHEN k.entity IS NULL THEN p.numerator * d.amount
            ELSE d.new[width_bucket(CASE WHEN cumulative THEN r.first_day ELSE b.first_day END - 1, d.since)] END),
        sum(p.denominator * d.amount) FILTER (WHERE k.fold = 'ratio')
    FROM unnest(ranges) AS r
    CROSS JOIN unnest(k.parts, k.numerators, k.denominators) AS p (part, numerator, denominator)
    -- OFFSET 0: a range's days lie together in the index and are read there. Asked as a join, a plan made before the
    -- ranges are known reads the whole table and hashes it.
    CROSS JOIN LATERAL (
        SELECT a.day, a.amount, a.since, a.new FROM kpi_admin.day_amount AS a
        WHERE a.kpi_id = p.part AND a.tenant_no = r.tenant_no AND a.day >= r.first_day AND a.day < r.last_day
        OFFSET 0
    ) AS d
    CROSS JOIN LATERAL (
        SELECT kpi_admin.bucket_key(bucket, d.day) AS key, width_bucket(d.day, r.part_days) AS place
    ) AS own
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.keys IS NULL THEN own.key ELSE r.keys[own.place] END AS key,
            CASE WHEN r.keys IS NULL THEN greatest(own.key::date, r.first_day) ELSE r.part_days[own.place] END
                AS first_day
    ) AS b
    GROUP BY 1, 2
$$;

-- Return the conditions of a question as SQL about rows `s`; `$1` holds the ranges, which choose the tenants, and `$2`
-- the conditions. A regular expression is tried on rows of these tenants only, whatever order PostgreSQL takes the
-- rows in: one that is slow where it matches would tell by its time what other tenants' rows hold.
CREATE OR REPLACE FUNCTION kpi_admin.filter_sql(conditions jsonb) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(
        CASE c.condition ->> 'op'
            WHEN '=' THEN format(' AND %s = ANY (ARRAY(SELECT jsonb_array_elements_text($2 -> %s -> ''values'')))',
                d.expression, c.place - 1)
            WHEN '!=' THEN format(' AND %s <> ALL (ARRAY(SELECT jsonb_array_elements_text($2 -> %s -> ''values'')))',
                d.expression, c.place - 1)
            ELSE format(' AND CASE WHEN s.tenant_no = ANY (ARRAY(SELECT own.tenant_no FROM unnest($1) AS own))
                THEN kpi_admin.meets(%s, $2 -> %s) END', d.expression, c.place - 1)
        END, ''), '')
    FROM jsonb_array_elements(conditions) WITH ORDINALITY AS c (condition, place)
    JOIN kpi_admin.dim AS d ON d.dim = c.condition ->> 'dim' AND d.dim <> 'tenant'
$$;

-- Return the expression that gives a row `s` of range `r` the key of its bucket.
CREATE OR REPLACE FUNCTION kpi_admin.key_sql(bucket text, hourly boolean, moved boolean) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN bucket = 'total' THEN 'NULL::timestamp'
        WHEN moved AND (hourly OR bucket = 'hour') THEN 'r.keys[width_bucket(s.hour, r.part_starts)]'
        WHEN moved THEN 'r.keys[width_bucket(s.day, r.part_days)]'
        WHEN bucket = 'hour' THEN 's.hour AT TIME ZONE ''UTC'''
        WHEN bucket = 'weekday hour' THEN 'date_trunc(''hour'', s.hour AT TIME ZONE r.zone)'
        ELSE format('kpi_admin.bucket_key(%L, s.day)', bucket)
    END
$$;

-- Return whether an end of a moved range, or of a part of it, lies within an hour: slices cannot tell what is before
-- it.
CREATE OR REPLACE FUNCTION kpi_admin.cuts_hours(ranges kpi_admin.tenant_range[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM unnest(ranges) AS r
        -- Where all offsets differ by whole hours, full hours stay full hours.
        WHERE EXISTS (
            SELECT FROM kpi_admin.zone_period AS p WHERE p.zone = r.zone
            HAVING count(DISTINCT extract(epoch FROM p.utc_offset)::integer % 3600) > 1
        ) AND EXISTS (
            SELECT FROM unnest(r.part_starts || ARRAY[r.starts, r.ends]) AS instant
            WHERE (kpi_admin.hour_of(r.zone, instant)).starts <> instant
        )
    )
$$;

-- Fold any question from the slices themselves: with dimensions, with hours.
CREATE OR REPLACE FUNCTION kpi_admin.folded_slices(
    k kpi_admin.kpi, ranges kpi_admin.tenant_range[], hourly boolean, bucket text, conditions jsonb, by text[],
    cumulative boolean
) RETURNS TABLE (key timestamp, dims text[], numerator numeric, denominator numeric)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    needed text[] := array_remove(by || ARRAY(SELECT c ->> 'dim' FROM jsonb_array_elements(conditions) AS c), 'tenant');
    columns text[];
    joins text;
    dims_as text;           -- the groups' dimensions as columns d1, d2, …, which are compared faster than one array
    dims_only text;
    first date;
    last date;
    moved boolean;
    exact boolean := false;
    key_text text;
    rows_text text;
BEGIN
    SELECT coalesce(array_agg(DISTINCT coalesce(d.parent_of, d.dim)), '{}'), string_agg(DISTINCT d.join_sql, ' ')
    INTO columns, joins FROM kpi_admin.dim AS d WHERE d.dim = ANY (needed);
    SELECT string_agg(format(', %s AS d%s', d.expression, n.place), '' ORDER BY n.place),
        string_agg(format('d%s', n.place), ', ' ORDER BY n.place)
    INTO dims_as, dims_only FROM unnest(by) WITH ORDINALITY AS n (dim, place) JOIN kpi_admin.dim AS d USING (dim);
    SELECT min(r.first_day), max(r.last_day), coalesce(bool_or(r.move IS NOT NULL), false)
    INTO first, last, moved FROM unnest(ranges) AS r;
    key_text := kpi_admin.key_sql(bucket, hourly, moved);
    IF moved AND (hourly OR bucket = 'hour') THEN
        exact := kpi_admin.cuts_hours(ranges);
    END IF;
    rows_text := format(
        '(%s) AS s JOIN unnest($1) AS r ON s.tenant_no = r.tenant_no AND s.day >= r.first_day AND s.day < r.last_day%s
            %s WHERE true%s',
        kpi_admin.slices(k, columns, first, last, exact),
        CASE WHEN hourly THEN ' AND s.hour >= r.starts AND s.hour < r.ends' ELSE '' END, joins,
        kpi_admin.filter_sql(conditions)
    );
    IF k.entity IS NULL THEN
        rows_text := format(
            'SELECT %s AS key%s, sum(numerator) AS numerator, sum(denominator) AS denominator FROM %s GROUP BY %s',
            key_text, dims_as, rows_text, concat_ws(', ', 'key', dims_only));
        RETURN QUERY EXECUTE format(
            'SELECT key, ARRAY[%s]::text[], numerator::numeric, denominator::numeric FROM (%s) AS folded',
            dims_only, rows_text)
        USING ranges, conditions;
        RETURN;
    ELSIF cumulative THEN
        -- Everyone counts where first seen: running sums over that are the distinct counts so far.
        rows_text := format('SELECT min(%s) AS key%s FROM %s GROUP BY %s',
            key_text, dims_as, rows_text, concat_ws(', ', 's.entity', dims_only));
    ELSE
        rows_text := format('SELECT DISTINCT %s AS key%s, s.entity FROM %s', key_text, dims_as, rows_text);
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT key, ARRAY[%s]::text[], count(*)::numeric, 0::numeric FROM (%s) AS seen GROUP BY %s',
        dims_only, rows_text, concat_ws(', ', 'key', dims_only))
    USING ranges, conditions;
END
$$;

-- Return whether a question needs no hours, and no dimension other than tenant.
CREATE OR REPLACE FUNCTION kpi_admin.of_whole_days(hourly boolean, bucket text, conditions jsonb, by text[])
RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT NOT hourly AND bucket NOT IN ('hour', 'weekday hour') AND by <@ '{tenant}'
        AND NOT jsonb_path_exists(conditions, '$[*] ? (@.dim != "tenant")')
$$;

-- Fold a question: its two sums by bucket key (null for a total) and dimensions, without zero-filling. One statement,
-- so that it is inlined; only one of its halves is ever run.
CREATE OR REPLACE FUNCTION kpi_admin.folded(
    k kpi_admin.kpi, ranges kpi_admin.tenant_range[], hourly boolean, bucket text, conditions jsonb, by text[],
    cumulative boolean
) RETURNS TABLE (key timestamp, dims text[], numerator numeric, denominator numeric)
LANGUAGE sql STABLE AS $$
    SELECT f.key,
        CASE WHEN by = '{}' THEN '{}'
            ELSE ARRAY(SELECT r.tenant FROM unnest(ranges) AS r WHERE r.tenant_no = f.tenant_no) END,
        f.numerator, f.denominator
    FROM kpi_admin.folded_days(k, ranges, bucket, by <> '{}', cumulative) AS f
    WHERE kpi_admin.of_whole_days(hourly, bucket, conditions, by)
    UNION ALL
    SELECT * FROM kpi_admin.folded_slices(k, ranges, hourly, bucket, conditions, by, cumulative)
    WHERE NOT kpi_admin.of_whole_days(hourly, bucket, conditions, by)
$$;

-- Return the months of a `value` KPI that have one, by tenant: each row of its slice holds until the next, until the
-- month of now.
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
         FROM (
             SELECT s.tenant_no, s.day, s.amount::numeric,
                 lead(s.day) OVER (PARTITION BY s.tenant_no ORDER BY s.day) AS until
             FROM kpi_slice.%I AS s
         ) AS h
         JOIN kpi_fact.tenant AS t ON t.tenant_no = h.tenant_no
         CROSS JOIN LATERAL generate_series(h.day::timestamp, least(h.until - interval ''1 month'',
            date_trunc(''month'', kpi_admin.now() AT TIME ZONE t.zone)), interval ''1 month'') AS m
         WHERE h.amount IS NOT NULL', relation);
END
$$;
