-- A question read once: everything below takes its plan.

-- Return a KPI's definition; refuse an id that there is not.
CREATE OR REPLACE FUNCTION kpi_admin.definition(id text) RETURNS kpi_admin.kpi
LANGUAGE plpgsql STABLE AS $$
DECLARE
    k kpi_admin.kpi;
BEGIN
    SELECT * INTO k FROM kpi_admin.kpi WHERE kpi_id = id;
    IF NOT FOUND THEN
        PERFORM kpi_admin.refuse('unknown_kpi', format('there is no KPI %s', left(coalesce(id, 'null'), 100)),
            'SELECT kpi_id, title FROM kpi.catalog lists them all.');
    END IF;
    k.definition := '';  -- long, and copied wherever k is handed on
    RETURN k;
END
$$;

-- Return the names of `by`, each once, in order; refuse dimensions, also those of conditions, that a KPI does not have.
CREATE OR REPLACE FUNCTION kpi_admin.known_dims(k kpi_admin.kpi, by text[], conditions jsonb) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    named jsonb := to_jsonb(by) || jsonb_path_query_array(conditions, '$[*].dim');
    known jsonb := to_jsonb(k.dims || ARRAY['tenant']);
BEGIN
    IF NOT named <@ known THEN
        PERFORM kpi_admin.refuse('unknown_dimension',
            format('%s has no dimension %s', k.kpi_id, (
                SELECT left(coalesce(name #>> '{}', 'null'), 100)
                FROM jsonb_array_elements(named) AS name WHERE NOT name <@ known LIMIT 1
            )),
            'It has: ' || array_to_string(k.dims || ARRAY['tenant'], ', ') || '.');
    END IF;
    RETURN kpi_admin.once(by);
END
$$;

-- Refuse a range that ends before it starts, or leaves the years that events may have.
CREATE OR REPLACE FUNCTION kpi_admin.check_range(asked kpi_admin.asked_range, starts timestamptz, ends timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF starts IS NULL OR ends IS NULL OR starts >= ends THEN
        PERFORM kpi_admin.refuse('invalid_range', 'from must be before to');
    ELSIF asked.first_day < date '2000-01-01' OR asked.last_day > date '2101-01-01'
        OR asked.first_day IS NULL AND starts < timestamptz '2000-01-01 00:00Z'
        OR asked.last_day IS NULL AND ends > timestamptz '2101-01-01 00:00Z'
    THEN
        PERFORM kpi_admin.refuse('invalid_range', 'from and to lie in the years 2000 to 2100');
    END IF;
END
$$;

-- Return the grain that a range of a length is widened to.
CREATE OR REPLACE FUNCTION kpi_admin.grain(
    k kpi_admin.kpi, asked kpi_admin.asked_range, length interval, granularity text
) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    grain text := CASE
        WHEN k.grain = 'month' THEN 'month'
        WHEN asked.last IS NOT NULL THEN CASE WHEN asked.last LIKE '%hour%' THEN 'hour' ELSE 'day' END
        ELSE coalesce(granularity, CASE WHEN length < interval '72 hours' THEN 'hour' ELSE 'day' END)
    END;
BEGIN
    IF granularity NOT IN ('day', 'hour') THEN
        PERFORM kpi_admin.refuse('invalid_granularity', 'granularity is day or hour');
    ELSIF grain = 'hour' AND length > 15 * interval '24 hours' THEN
        PERFORM kpi_admin.refuse('range_too_long',
            'granularity hour may be asked for up to 15 days of 24 hours');
    END IF;
    RETURN grain;
END
$$;

-- Return the bucket of a series over a range of a length.
CREATE OR REPLACE FUNCTION kpi_admin.bucket(k kpi_admin.kpi, length interval, bucket text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
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

-- A question understood. `shape` is total, series, cumulative or distribution; `bucket` that of its points, `total` for
-- one without; `hourly`: the ends of its ranges lie within days; `asked_end`: where an answer of no tenant ends.
CREATE TYPE kpi_admin.plan AS (
    kpi kpi_admin.kpi, shape text, grain text, bucket text, hourly boolean, conditions jsonb, grouped_by text[],
    viewer_zone text, compare text, all_groups boolean, asked_end timestamptz, ranges kpi_admin.tenant_range[]
);

-- Return the plan of a question; refuse one that is wrong. `viewer_zone` is a known zone or null, `compare` is
-- previous, usual or null.
CREATE OR REPLACE FUNCTION kpi_admin.plan(
    kpi_id text, shape text, asked kpi_admin.asked_range, bucket text, conditions jsonb, by text[], granularity text,
    viewer_zone text DEFAULT NULL, compare text DEFAULT NULL, all_groups boolean DEFAULT false
) RETURNS kpi_admin.plan
LANGUAGE plpgsql STABLE AS $$
DECLARE
    k kpi_admin.kpi := kpi_admin.definition(kpi_id);
    p kpi_admin.plan;
    own kpi_admin.tenant_range[];
    starts timestamptz;
    ends timestamptz;
    length interval;
    zone text;
    of_dates boolean := asked.last IS NOT NULL OR num_nonnulls(asked.first_day, asked.last_day) = 2;
BEGIN
    p.grouped_by := kpi_admin.known_dims(k, coalesce(by, '{}'), conditions);
    own := ARRAY(
        SELECT (t.tenant_no, t.tenant, t.zone, NULL, NULL, e.starts, e.ends, NULL, NULL, NULL, NULL)
            ::kpi_admin.tenant_range
        FROM kpi_admin.asked_tenants(conditions) AS t, kpi_admin.own_ends(asked, t.zone) AS e
    );
    starts := asked.starts;
    ends := asked.ends;
    IF starts IS NULL OR ends IS NULL THEN
        -- Dates, and whole days before now, are as long as the tenants' common clock has them.
        zone := coalesce(kpi_admin.one_clock(ARRAY(SELECT r.zone FROM unnest(own) AS r)), 'UTC');
        SELECT e.starts, e.ends INTO starts, ends FROM kpi_admin.own_ends(asked, zone) AS e;
    END IF;
    PERFORM kpi_admin.check_range(asked, starts, ends);
    length := ends - starts;
    p.asked_end := ends;
    p.bucket := kpi_admin.bucket(k, length, bucket);
    p.grain := kpi_admin.grain(k, asked, length, granularity);
    IF shape = 'distribution' THEN
        p.grain := 'day';
    END IF;
    IF shape IN ('total', 'distribution') THEN
        p.bucket := 'total';
    END IF;
    p.ranges := ARRAY(SELECT kpi_admin.widened(r, p.grain, of_dates) FROM unnest(own) AS r);
    p.kpi := k;
    p.shape := shape;
    p.hourly := p.grain = 'hour';
    p.conditions := conditions;
    p.viewer_zone := viewer_zone;
    p.compare := compare;
    p.all_groups := coalesce(all_groups, false);
    PERFORM kpi_admin.check_plan(p);
    RETURN p;
END
$$;

-- Refuse what cannot be asked together.
CREATE OR REPLACE FUNCTION kpi_admin.check_plan(p kpi_admin.plan) RETURNS void
LANGUAGE plpgsql STABLE AS $$
DECLARE
    grouped text[];
BEGIN
    IF p.bucket = 'hour' AND cardinality(p.ranges) > 1 AND NOT 'tenant' = ANY (p.grouped_by) THEN
        IF kpi_admin.hours_differ(p.ranges) THEN
            PERFORM kpi_admin.refuse('mixed_time_zones', 'the hours of these tenants do not begin together',
                'Ask for one tenant, group by tenant, or ask for days.');
        END IF;
    END IF;
    IF p.all_groups THEN
        grouped := array_remove(p.grouped_by, 'tenant');
        IF cardinality(p.grouped_by) = 0 OR cardinality(grouped) > 1
            OR EXISTS (SELECT FROM kpi_admin.dim AS d WHERE d.dim = ANY (grouped) AND d.entity IS NULL)
        THEN
            PERFORM kpi_admin.refuse('invalid_combination',
                'all_groups goes with one dimension that is an entity, and with tenant beside it');
        END IF;
    END IF;
    IF p.compare NOT IN ('previous', 'usual') THEN
        PERFORM kpi_admin.refuse('invalid_compare', 'compare is previous or usual');
    ELSIF p.compare = 'usual' THEN
        IF p.grain = 'month' OR EXISTS (
            SELECT FROM unnest(p.ranges) AS r
            WHERE r.ends > kpi_admin.first_instant(r.zone, kpi_admin.clock_at(r.zone, r.starts) + interval '7 days')
        ) THEN
            PERFORM kpi_admin.refuse('invalid_compare', 'usual is for ranges of at most seven days, not for months');
        END IF;
    END IF;
END
$$;

-- Return whether an hour of one range begins within an hour of another.
CREATE OR REPLACE FUNCTION kpi_admin.hours_differ(ranges kpi_admin.tenant_range[]) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF kpi_admin.one_clock(ARRAY(SELECT DISTINCT r.zone FROM unnest(ranges) AS r)) IS NOT NULL THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        WITH zones AS MATERIALIZED (
            SELECT DISTINCT r.zone, r.starts, r.ends FROM unnest(ranges) AS r WHERE r.starts < r.ends
        ), hours AS MATERIALIZED (
            SELECT DISTINCT z.zone, hour FROM zones AS z, kpi_admin.hours(z.zone, z.starts, z.ends) AS hour
        )
        SELECT FROM hours
        JOIN zones ON zones.zone <> hours.zone AND hours.hour >= zones.starts AND hours.hour < zones.ends
        WHERE NOT EXISTS (SELECT FROM hours AS same WHERE same.zone = zones.zone AND same.hour = hours.hour)
    );
END
$$;
