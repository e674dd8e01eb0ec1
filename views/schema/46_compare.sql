-- What a range is held against (rules.md, 4): the range before, or the same days of the four weeks before.

-- Return what a local clock reads at an instant; the first instant of a day reads 00:00, also where its clock does not.
CREATE OR REPLACE FUNCTION kpi_admin.clock_at(zone text, instant timestamptz) RETURNS timestamp
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN instant = kpi_admin.day_start(zone, kpi_admin.local_day(zone, instant))
        THEN kpi_admin.local_day(zone, instant)::timestamp ELSE instant AT TIME ZONE zone END
$$;

-- Return the first instant at which a local clock reads a time; of a time that a clock change left out, the change.
CREATE OR REPLACE FUNCTION kpi_admin.first_instant(zone_name text, clock timestamp) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT coalesce(min(greatest(p.starts, (clock - p.utc_offset) AT TIME ZONE 'UTC')), clock AT TIME ZONE zone_name)
    FROM kpi_admin.zone_period AS p
    WHERE p.zone = zone_name AND (clock - p.utc_offset) AT TIME ZONE 'UTC' < p.ends
        AND p.starts < clock AT TIME ZONE 'UTC' + interval '2 days'
$$;

-- Return a local time moved back by days or months; to that month's end where the month lacks the date.
CREATE OR REPLACE FUNCTION kpi_admin.moved_clock(clock timestamp, unit text, count integer) RETURNS timestamp
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN unit = 'day' THEN clock - count * interval '1 day'
        WHEN extract(day FROM clock - count * interval '1 month') = extract(day FROM clock)
            THEN clock - count * interval '1 month'
        ELSE date_trunc('month', clock - count * interval '1 month') + interval '1 month'
    END
$$;

-- Return by what, and by how many, a range is moved back to the one before it.
CREATE OR REPLACE FUNCTION kpi_admin.step_back(r kpi_admin.tenant_range, grain text, OUT unit text, OUT count integer)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    now timestamptz := kpi_admin.now();
    last_date date := r.last_day - 1;
    begins_with_a_day boolean := r.starts = kpi_admin.day_start(r.zone, r.first_day);
    begins_with_a_month boolean := begins_with_a_day AND extract(day FROM r.first_day) = 1;
    whole_months boolean := begins_with_a_month AND extract(day FROM r.last_day) = 1
        AND r.ends = kpi_admin.day_start(r.zone, r.last_day);
    ends_now boolean := r.ends IN ((kpi_admin.hour_of(r.zone, now)).ends,
        kpi_admin.day_start(r.zone, kpi_admin.local_day(r.zone, now) + 1));
BEGIN
    IF grain = 'month' OR whole_months OR begins_with_a_month AND last_date > r.first_day AND ends_now THEN
        unit := 'month';
        count := (extract(year FROM last_date) * 12 + extract(month FROM last_date))
            - (extract(year FROM r.first_day) * 12 + extract(month FROM r.first_day)) + 1;
    ELSIF begins_with_a_day THEN
        unit := 'day';
        count := r.last_day - r.first_day - kpi_admin.skipped_days(r.zone, r.first_day, r.last_day);
    ELSE
        unit := 'hour';
        SELECT count(*) INTO count FROM kpi_admin.hours(r.zone, r.starts, r.ends);
    END IF;
END
$$;

-- Return where the part of each bucket begins within a range: the buckets' keys in order, and the instants.
CREATE OR REPLACE FUNCTION kpi_admin.bucket_parts(r kpi_admin.tenant_range, bucket text)
RETURNS TABLE (key timestamp, starts timestamptz)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF bucket = 'hour' THEN
        RETURN QUERY
        SELECT hour AT TIME ZONE 'UTC', hour FROM kpi_admin.hours(r.zone, r.starts, r.ends) AS hour ORDER BY hour;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT days.key, greatest(kpi_admin.day_start(r.zone, days.first_day::date), r.starts)
    FROM (
        SELECT date_trunc(bucket, day) AS key, min(day) AS first_day
        FROM generate_series(r.first_day::timestamp, (r.last_day - 1)::timestamp, interval '1 day') AS day
        WHERE kpi_admin.day_start(r.zone, day::date) < kpi_admin.day_start(r.zone, day::date + 1)
        GROUP BY 1
    ) AS days
    ORDER BY days.key;
END
$$;

-- Return a range moved back, and in a series each bucket's part with it. Parts never overlap: where a clock that went
-- back would let one begin before the part before it, it begins with that part's end.
CREATE OR REPLACE FUNCTION kpi_admin.moved_back(
    r kpi_admin.tenant_range, bucket text, unit text, count integer, move integer
) RETURNS kpi_admin.tenant_range
LANGUAGE plpgsql STABLE AS $$
DECLARE
    moved kpi_admin.tenant_range := r;
BEGIN
    moved.move := move;
    IF r.first_day IS NULL THEN
        RETURN moved;
    END IF;
    moved.starts := kpi_admin.moved_instant(r.zone, r.starts, unit, count);
    moved.ends := kpi_admin.moved_instant(r.zone, r.ends, unit, count);
    moved.first_day := kpi_admin.local_day(r.zone, moved.starts);
    moved.last_day := kpi_admin.local_day(r.zone, moved.ends - interval '1 microsecond') + 1;
    IF bucket <> 'total' THEN
        SELECT array_agg(ordered.key ORDER BY ordered.key),
            array_agg(kpi_admin.local_day(r.zone, ordered.starts) ORDER BY ordered.key),
            array_agg(ordered.starts ORDER BY ordered.key)
        INTO moved.keys, moved.part_days, moved.part_starts
        FROM (
            SELECT part.key,
                max(kpi_admin.moved_instant(r.zone, part.starts, unit, count)) OVER (ORDER BY part.key) AS starts
            FROM kpi_admin.bucket_parts(r, bucket) AS part
        ) AS ordered;
    END IF;
    RETURN moved;
END
$$;

-- Return the start of the hour that lies some hours before one: a clock change begins an hour too, as in
-- America/St_Johns at 0:01, so that hours about it are shorter or longer than sixty minutes.
CREATE OR REPLACE FUNCTION kpi_admin.hours_before(zone_name text, hour_start timestamptz, count integer)
RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    earliest timestamptz := hour_start - count * interval '1 hour' - interval '3 hours';
BEGIN
    IF NOT EXISTS (
        SELECT FROM kpi_admin.zone_period AS p
        WHERE p.zone = zone_name AND p.starts > earliest AND p.starts <= hour_start
    ) THEN
        RETURN hour_start - count * interval '1 hour';
    END IF;
    RETURN (
        SELECT hour FROM kpi_admin.hours(zone_name, earliest, hour_start) AS hour
        ORDER BY hour DESC OFFSET count - 1 LIMIT 1
    );
END
$$;

-- Return an instant moved back by hours, or by days or months of a local clock. By hours it has to be an hour's start.
CREATE OR REPLACE FUNCTION kpi_admin.moved_instant(zone text, instant timestamptz, unit text, count integer)
RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN unit = 'hour' THEN kpi_admin.hours_before(zone, instant, count)
        ELSE kpi_admin.first_instant(zone, kpi_admin.moved_clock(kpi_admin.clock_at(zone, instant), unit, count)) END
$$;

-- Return the ranges that a plan's are held against: one each, or up to four weeks, of those that begin with or after
-- the day of the tenant's first event. One that now left empty begins, and ends, where now ends.
CREATE OR REPLACE FUNCTION kpi_admin.compared_ranges(p kpi_admin.plan) RETURNS SETOF kpi_admin.tenant_range
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p.compare = 'previous' THEN
        RETURN QUERY
        SELECT m.* FROM unnest(p.ranges) AS r, kpi_admin.step_back(r, p.grain) AS s,
            kpi_admin.moved_back(r, p.bucket, s.unit, s.count, 1) AS m;
    ELSE
        RETURN QUERY
        SELECT m.* FROM unnest(p.ranges) AS r
        CROSS JOIN LATERAL (
            SELECT e.day FROM kpi_fact.event AS e WHERE e.tenant_no = r.tenant_no ORDER BY e.at LIMIT 1
        ) AS first_event
        CROSS JOIN generate_series(1, 4) AS week,
            kpi_admin.moved_back(r, p.bucket, 'day', 7 * week, week) AS m
        WHERE first_event.day <= coalesce(
            m.first_day, kpi_admin.local_day(r.zone, kpi_admin.moved_instant(r.zone, r.starts, 'day', 7 * week))
        );
    END IF;
END
$$;

-- Return the buckets (null for a total) of which a moved range of each tenant has something left, and how many have:
-- a part that moved into nothing is not there, a range of which now has left nothing is. `others` are buckets that some
-- tenants' ranges do not reach and that are there all the same, `later_only` if after the range only.
CREATE OR REPLACE FUNCTION kpi_admin.parts_left(
    moved kpi_admin.tenant_range[], cumulative boolean, others timestamp[], later_only boolean
) RETURNS TABLE (tenant text, key timestamp, moves bigint)
LANGUAGE sql STABLE AS $$
    SELECT r.tenant, part.key, count(*)
    FROM unnest(moved) AS r
    CROSS JOIN LATERAL (
        SELECT u.key, u.starts, lead(u.starts, 1, r.ends) OVER (ORDER BY u.place) AS ends
        FROM unnest(r.keys, r.part_starts) WITH ORDINALITY AS u (key, starts, place)
        UNION ALL SELECT NULL, r.starts, r.ends WHERE r.keys IS NULL
        UNION ALL
        SELECT other, '-infinity', 'infinity' FROM unnest(others) AS other
        WHERE NOT other = ANY (r.keys) AND (NOT later_only OR other > r.keys[1])
    ) AS part
    WHERE r.first_day IS NULL
        OR CASE WHEN cumulative THEN least(r.starts, part.starts) ELSE part.starts END < part.ends
    GROUP BY r.tenant, part.key
$$;
