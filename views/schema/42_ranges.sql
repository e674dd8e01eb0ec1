-- The range of a question: as asked, and as each tenant's own clock has it (rules.md, 1 and 2).
-- Types are made anew at each `init`, since CREATE TYPE cannot replace one; nothing that stays depends on them.
DROP TYPE IF EXISTS kpi_admin.plan, kpi_admin.tenant_range, kpi_admin.asked_range CASCADE;

-- A range before it is any tenant's: each end is an instant or a date of the tenant's own clock (`to` exclusive), or
-- `last` ("7 days") stands in place of both. Dates that a viewer's midnights mean come with the instants as asked.
CREATE TYPE kpi_admin.asked_range AS (
    starts timestamptz, ends timestamptz, first_day date, last_day date, "last" text
);

-- A tenant's range: instants [starts, ends), local days [first_day, last_day). Days are null where now leaves nothing
-- of it; tenant_no is null for a tenant never heard of.
-- One that another is held against also has where the part of each bucket of that other begins here: `keys` are that
-- other's buckets in order, `part_days` and `part_starts` the parts; `move` counts the ranges held against one.
CREATE TYPE kpi_admin.tenant_range AS (
    tenant_no integer, tenant text, zone text, first_day date, last_day date, starts timestamptz, ends timestamptz,
    move integer, keys timestamp[], part_days date[], part_starts timestamptz[]
);

-- Return a range between instants. When both are midnights in the viewer's zone (the end may be a millisecond before:
-- it is then taken as that midnight), their calendar dates are meant.
CREATE OR REPLACE FUNCTION kpi_admin.between_instants(starts timestamptz, ends timestamptz, viewer_zone text)
RETURNS kpi_admin.asked_range
LANGUAGE plpgsql STABLE AS $$
DECLARE
    asked kpi_admin.asked_range := (starts, ends, NULL, NULL, NULL);
    first_day date;
    last_day date;
    midnight timestamptz;
BEGIN
    IF viewer_zone IS NOT NULL THEN
        first_day := (starts AT TIME ZONE viewer_zone)::date;
        last_day := ((ends + interval '1 ms') AT TIME ZONE viewer_zone)::date;
        midnight := kpi_admin.day_start(viewer_zone, last_day);
        IF kpi_admin.day_start(viewer_zone, first_day) = starts AND midnight IN (ends, ends + interval '1 ms') THEN
            asked := (starts, midnight, first_day, last_day, NULL);
        END IF;
    END IF;
    RETURN asked;
END
$$;

-- Return a range between dates of each tenant's own clock.
CREATE OR REPLACE FUNCTION kpi_admin.between_dates(first_day date, last_day date) RETURNS kpi_admin.asked_range
LANGUAGE sql IMMUTABLE AS $$ SELECT (NULL, NULL, first_day, last_day, NULL)::kpi_admin.asked_range $$;

-- Return a range whose ends are texts: dates (of each tenant's own clock), or times with their offset.
CREATE OR REPLACE FUNCTION kpi_admin.between_texts(starts text, ends text) RETURNS kpi_admin.asked_range
LANGUAGE plpgsql STABLE AS $$
DECLARE
    asked kpi_admin.asked_range;
    value text;
BEGIN
    FOREACH value IN ARRAY ARRAY[starts, ends] LOOP
        IF value !~* '^\d{4}-\d\d-\d\d([t ]\d\d:\d\d(:\d\d(\.\d+)?)? ?(z|[+-]\d\d(:?\d\d)?))?$' THEN
            PERFORM kpi_admin.refuse('invalid_range',
                format('%s is neither a date nor a time with its offset', left(value, 50)),
                'Write 2026-10-01, a date of the tenant''s own clock, or 2026-10-01T09:00:00+02:00.');
        END IF;
    END LOOP;
    IF length(starts) = 10 THEN
        asked.first_day := starts::date;
    ELSE
        asked.starts := starts::timestamptz;
    END IF;
    IF length(ends) = 10 THEN
        asked.last_day := ends::date;
    ELSE
        asked.ends := ends::timestamptz;
    END IF;
    RETURN asked;
END
$$;

-- Return the last `whole` ("24 hours", "1 day", "4 weeks", "3 months") of a zone's clock before the one that holds now.
CREATE OR REPLACE FUNCTION kpi_admin.last_whole(zone text, whole text, OUT starts timestamptz, OUT ends timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    now timestamptz := kpi_admin.now();
    count integer := substring(whole FROM '^\d+');
    unit text := substring(whole FROM '(hour|day|week|month)s?$');
    today date;
BEGIN
    IF count IS NULL OR count = 0 OR unit IS NULL THEN
        PERFORM kpi_admin.refuse('invalid_range', 'last is a number of hours, days, weeks or months, as in "7 days"');
    ELSIF now - count * ('1 ' || unit)::interval < timestamptz '2000-02-01 00:00Z' THEN
        PERFORM kpi_admin.refuse('invalid_range', 'from and to lie in the years 2000 to 2100');
    ELSIF unit = 'hour' THEN
        ends := (kpi_admin.hour_of(zone, now)).starts;
        SELECT min(latest.hour) INTO starts FROM (
            SELECT h AS hour FROM kpi_admin.hours(zone, ends - (count + 3) * interval '1 hour', ends) AS h
            ORDER BY h DESC LIMIT count
        ) AS latest;
        RETURN;
    END IF;
    today := date_trunc(unit, kpi_admin.local_day(zone, now)::timestamp);
    ends := kpi_admin.day_start(zone, today);
    starts := kpi_admin.day_start(zone, (today - count * ('1 ' || unit)::interval)::date);
END
$$;

-- Return the ends of an asked range by one zone's clock, before they are widened.
CREATE OR REPLACE FUNCTION kpi_admin.own_ends(
    asked kpi_admin.asked_range, zone text, OUT starts timestamptz, OUT ends timestamptz
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF asked.last IS NOT NULL THEN
        SELECT w.starts, w.ends INTO starts, ends FROM kpi_admin.last_whole(zone, asked.last) AS w;
        RETURN;
    END IF;
    starts := asked.starts;
    ends := asked.ends;
    IF asked.first_day IS NOT NULL THEN
        starts := kpi_admin.day_start(zone, asked.first_day);
    END IF;
    IF asked.last_day IS NOT NULL THEN
        ends := kpi_admin.day_start(zone, asked.last_day);
    END IF;
END
$$;

-- Return the tenants that a question is about: those that this session may see and that the conditions choose.
CREATE OR REPLACE FUNCTION kpi_admin.asked_tenants(conditions jsonb)
RETURNS TABLE (tenant_no integer, tenant text, zone text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    visible text[] := kpi_admin.visible_tenants();
    of_tenant jsonb := jsonb_path_query_array(conditions, '$[*] ? (@.dim == "tenant")');
    named jsonb := jsonb_path_query_array(of_tenant, '$[*] ? (@.op == "=").values[*]');
    ids text[];
BEGIN
    IF named <> '[]' THEN
        ids := ARRAY(
            SELECT DISTINCT id FROM jsonb_array_elements_text(named) AS id WHERE visible IS NULL OR id = ANY (visible)
        );
    ELSE
        ids := coalesce(visible, ARRAY(SELECT k.tenant FROM kpi_data.tenant_number AS k));
    END IF;
    IF jsonb_array_length(of_tenant) > 1 OR of_tenant -> 0 ->> 'op' <> '=' THEN
        ids := ARRAY(
            SELECT id FROM unnest(ids) AS id
            WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(of_tenant) AS c WHERE NOT kpi_admin.meets(id, c))
        );
    END IF;
    RETURN QUERY
    SELECT n.tenant_no, chosen.id, coalesce(t.zone, 'UTC')
    FROM unnest(ids) AS chosen (id)
    LEFT JOIN kpi_data.tenant_number AS n ON n.tenant = chosen.id
    LEFT JOIN kpi_fact.tenant AS t ON t.tenant_no = n.tenant_no;
END
$$;

-- Return the first zone when all of them are one clock (UTC and Etc/UTC are), else null.
CREATE OR REPLACE FUNCTION kpi_admin.one_clock(zones text[]) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    clocks bigint;
BEGIN
    IF zones[1] = ALL (zones) THEN
        RETURN zones[1];
    END IF;
    SELECT count(DISTINCT periods.clock) INTO clocks FROM (
        SELECT array_agg((p.starts, p.utc_offset) ORDER BY p.starts) AS clock
        FROM kpi_admin.zone_period AS p WHERE p.zone = ANY (zones) GROUP BY p.zone
    ) AS periods;
    RETURN CASE WHEN clocks = 1 THEN zones[1] END;
END
$$;

-- Return a tenant's range widened to a grain (hour, day, month), cut at the end of the one that holds now. With
-- `of_dates` its ends are days' starts, which an hour need not be looked up for.
CREATE OR REPLACE FUNCTION kpi_admin.widened(r kpi_admin.tenant_range, grain text, of_dates boolean)
RETURNS kpi_admin.tenant_range
LANGUAGE plpgsql STABLE AS $$
DECLARE
    now timestamptz := kpi_admin.now();
    hour record;
BEGIN
    IF r.ends > now AND grain = 'hour' THEN
        r.ends := least(r.ends, (kpi_admin.hour_of(r.zone, now)).ends);
    ELSIF r.ends > now THEN
        r.ends := least(r.ends, kpi_admin.day_start(r.zone,
            (date_trunc(grain, kpi_admin.local_day(r.zone, now)::timestamp) + ('1 ' || grain)::interval)::date));
    END IF;
    IF r.starts >= r.ends THEN
        r.starts := r.ends;
        RETURN r;
    END IF;
    IF grain = 'hour' AND NOT of_dates THEN
        r.starts := (kpi_admin.hour_of(r.zone, r.starts)).starts;
        hour := kpi_admin.hour_of(r.zone, r.ends);
        r.ends := CASE WHEN hour.starts = r.ends THEN r.ends ELSE hour.ends END;
    END IF;
    r.first_day := kpi_admin.local_day(r.zone, r.starts);
    r.last_day := kpi_admin.local_day(r.zone, r.ends - interval '1 microsecond') + 1;
    IF grain = 'month' THEN
        r.first_day := date_trunc('month', r.first_day::timestamp);
        r.last_day := date_trunc('month', (r.last_day - 1)::timestamp) + interval '1 month';
    END IF;
    IF grain <> 'hour' THEN
        r.starts := kpi_admin.day_start(r.zone, r.first_day);
        r.ends := kpi_admin.day_start(r.zone, r.last_day);
    END IF;
    RETURN r;
END
$$;

-- Return the buckets of some ranges in order: their key (local date, or for hours the instant in UTC) and their
-- instant. Hours of each tenant are listed apart when `by_tenant`, else they meet by instant and `tenant` is null.
CREATE OR REPLACE FUNCTION kpi_admin.buckets(
    ranges kpi_admin.tenant_range[], bucket text, by_tenant boolean, viewer_zone text
) RETURNS TABLE (tenant text, key timestamp, instant timestamptz)
LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    zone text := kpi_admin.one_clock(ARRAY(SELECT DISTINCT r.zone FROM unnest(ranges) AS r));
    plain boolean;
BEGIN
    IF bucket = 'hour' THEN
        RETURN QUERY
        SELECT DISTINCT CASE WHEN by_tenant THEN r.tenant END, hour AT TIME ZONE 'UTC', hour
        FROM unnest(ranges) AS r, kpi_admin.hours(r.zone, r.starts, r.ends) AS hour;
        RETURN;
    END IF;
    -- Where no clock changes about a midnight, local midnights need no care, and no date is skipped.
    plain := NOT EXISTS (
        SELECT FROM unnest(ranges) AS r
        JOIN kpi_admin.zone_period AS p
            ON p.zone = r.zone AND p.starts > r.starts - interval '2 days' AND p.starts < r.ends + interval '2 days'
        CROSS JOIN LATERAL (
            SELECT p.starts AT TIME ZONE p.zone AS after,
                (p.starts - interval '1 second') AT TIME ZONE p.zone + interval '1 second' AS before
        ) AS clock
        WHERE extract(hour FROM least(before, after)) = 0 OR before::date <> after::date
    );
    RETURN QUERY
    SELECT NULL::text, d.local_day,
        CASE
            WHEN cardinality(ranges) > 1 AND viewer_zone IS NOT NULL
                THEN kpi_admin.day_start(viewer_zone, d.local_day::date)
            WHEN zone IS NULL THEN d.local_day AT TIME ZONE 'UTC'
            -- The first day of a week or month may lie long before the range.
            WHEN plain AND bucket = 'day' THEN d.local_day AT TIME ZONE zone
            ELSE kpi_admin.day_start(zone, d.local_day::date)
        END
    FROM (
        SELECT DISTINCT date_trunc(bucket, day) AS local_day
        FROM unnest(ranges) AS r,
            generate_series(r.first_day::timestamp, (r.last_day - 1)::timestamp, interval '1 day') AS day
        -- A date that a zone skipped whole (Apia, 30 December 2011) has no bucket.
        WHERE plain OR kpi_admin.day_start(r.zone, day::date) < kpi_admin.day_start(r.zone, day::date + 1)
    ) AS d;
END
$$;
