-- Local time. A zone's periods of constant offset are looked up once, when a tenant first uses the zone;
-- PostgreSQL resolves ambiguous and skipped local times its own way, these functions as the rules say.
CREATE TABLE IF NOT EXISTS kpi_admin.zone_period (
    zone text NOT NULL,
    starts timestamptz NOT NULL,
    ends timestamptz NOT NULL,
    utc_offset interval NOT NULL,
    odd boolean NOT NULL,             -- starts within a local hour, so that hour has two buckets
    skips_a_day boolean NOT NULL,     -- the clock went past a whole date
    PRIMARY KEY (zone, starts)
);

-- The zones that PostgreSQL knows; asking pg_timezone_names reads hundreds of files each time.
CREATE TABLE IF NOT EXISTS kpi_admin.zone_name (zone text PRIMARY KEY);
INSERT INTO kpi_admin.zone_name SELECT name FROM pg_catalog.pg_timezone_names ON CONFLICT DO NOTHING;

-- Return a viewer's zone if it is one, else null: also for what a dashboard could not fill in (browser, ${__timezone}).
CREATE OR REPLACE FUNCTION kpi_admin.known_zone(asked text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT zone FROM kpi_admin.zone_name WHERE zone = CASE WHEN asked IN ('utc', 'UTC') THEN 'UTC' ELSE asked END
$$;

-- Add a zone: every period of constant offset from 1999 to 2101, found by halving between days whose offsets differ.
CREATE OR REPLACE FUNCTION kpi_admin.add_zone(zone_name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    changes timestamptz[] := ARRAY[]::timestamptz[];
    change record;
    low timestamptz;
    middle timestamptz;
    high timestamptz;
BEGIN
    IF EXISTS (SELECT FROM kpi_admin.zone_period WHERE zone = zone_name) THEN
        RETURN;
    END IF;
    FOR change IN
        SELECT prior, day FROM (
            SELECT day, lag(day) OVER w AS prior, day AT TIME ZONE zone_name - day AT TIME ZONE 'UTC' AS off,
                lag(day AT TIME ZONE zone_name - day AT TIME ZONE 'UTC') OVER w AS prior_off
            FROM generate_series(
                timestamptz '1999-12-25 00:00Z', timestamptz '2101-01-08 00:00Z', interval '1 day'
            ) AS day
            WINDOW w AS (ORDER BY day)
        ) AS days WHERE off <> prior_off ORDER BY day
    LOOP
        low := change.prior;
        high := change.day;
        WHILE high - low > interval '1 second' LOOP
            middle := date_trunc('second', low + (high - low) / 2);
            IF middle AT TIME ZONE zone_name - middle AT TIME ZONE 'UTC'
                = low AT TIME ZONE zone_name - low AT TIME ZONE 'UTC'
            THEN
                low := middle;
            ELSE
                high := middle;
            END IF;
        END LOOP;
        changes := changes || high;
    END LOOP;
    INSERT INTO kpi_admin.zone_period
    SELECT zone_name, starts, ends, starts AT TIME ZONE zone_name - starts AT TIME ZONE 'UTC',
        starts AT TIME ZONE zone_name <> date_trunc('hour', starts AT TIME ZONE zone_name),
        (starts AT TIME ZONE zone_name)::date - ((starts - interval '1 second') AT TIME ZONE zone_name)::date > 1
    FROM (
        SELECT starts, lead(starts, 1, 'infinity') OVER (ORDER BY starts) AS ends
        FROM unnest(timestamptz '1999-12-25 00:00Z' || changes) AS starts
    ) AS periods
    ON CONFLICT DO NOTHING;
END
$$;

-- Return the first instant whose local date is `local_day` (or, where a zone skipped that date, a later one).
-- PostgreSQL takes the second of two midnights. It is one expression, so that it is inlined.
CREATE OR REPLACE FUNCTION kpi_admin.day_start(zone_name text, local_day date) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT local_day::timestamp AT TIME ZONE zone_name - CASE
        WHEN local_day
            <= ((local_day::timestamp AT TIME ZONE zone_name - interval '3 hours') AT TIME ZONE zone_name)::date
            THEN interval '3 hours'
        WHEN local_day
            <= ((local_day::timestamp AT TIME ZONE zone_name - interval '2 hours') AT TIME ZONE zone_name)::date
            THEN interval '2 hours'
        WHEN local_day
            <= ((local_day::timestamp AT TIME ZONE zone_name - interval '1 hour') AT TIME ZONE zone_name)::date
            THEN interval '1 hour'
        WHEN local_day
            <= ((local_day::timestamp AT TIME ZONE zone_name - interval '30 minutes') AT TIME ZONE zone_name)::date
            THEN interval '30 minutes'
        ELSE interval '0'
    END
$$;

-- Return the local date whose day holds an instant: where a clock goes back over midnight, the later date has begun and
-- goes on.
CREATE OR REPLACE FUNCTION kpi_admin.local_day(zone_name text, instant timestamptz) RETURNS date
LANGUAGE sql STABLE AS $$
    SELECT (instant AT TIME ZONE zone_name)::date
        + (instant >= kpi_admin.day_start(zone_name, (instant AT TIME ZONE zone_name)::date + 1))::integer
$$;

-- Return whether a zone's clock changes within an hour or goes back over midnight, in the years that events may have.
CREATE OR REPLACE FUNCTION kpi_admin.is_odd(zone_name text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM kpi_admin.zone_period AS p WHERE p.zone = zone_name AND p.starts > '2000-01-01'
            AND (
                p.odd
                OR (p.starts AT TIME ZONE p.zone)::date < ((p.starts - interval '1 second') AT TIME ZONE p.zone)::date
            )
    )
$$;

-- Return how many dates of [first_day, last_day) a zone skipped whole.
CREATE OR REPLACE FUNCTION kpi_admin.skipped_days(zone_name text, first_day date, last_day date) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT count(*)::integer FROM kpi_admin.zone_period AS p
    WHERE p.zone = zone_name AND p.skips_a_day
        AND (p.starts AT TIME ZONE p.zone)::date > first_day AND (p.starts AT TIME ZONE p.zone)::date <= last_day
$$;

-- Return the local hour that holds `instant`, as [starts, ends): from a full hour of the local clock or a clock change
-- to the next.
CREATE OR REPLACE FUNCTION kpi_admin.hour_of(
    zone_name text, instant timestamptz, OUT starts timestamptz, OUT ends timestamptz
)
LANGUAGE sql STABLE AS $$
    SELECT greatest(p.starts, full_hour), least(p.ends, full_hour + interval '1 hour')
    FROM kpi_admin.zone_period AS p,
        LATERAL (
            SELECT (date_trunc('hour', instant AT TIME ZONE 'UTC' + p.utc_offset) - p.utc_offset) AT TIME ZONE 'UTC'
                AS full_hour
        ) AS h
    WHERE p.zone = zone_name AND p.starts <= instant AND instant < p.ends
$$;

-- Return the starts of the local hours that begin in [first, last).
CREATE OR REPLACE FUNCTION kpi_admin.hours(zone_name text, first timestamptz, last timestamptz)
RETURNS SETOF timestamptz
LANGUAGE sql STABLE ROWS 1000 AS $$
    SELECT DISTINCT greatest(p.starts, full_hour)
    FROM kpi_admin.zone_period AS p,
        generate_series(
            (date_trunc('hour', greatest(first, p.starts) AT TIME ZONE 'UTC' + p.utc_offset) - p.utc_offset)
                AT TIME ZONE 'UTC',
            least(last, p.ends) - interval '1 microsecond', interval '1 hour'
        ) AS full_hour
    WHERE p.zone = zone_name AND p.starts < last AND p.ends > first AND greatest(p.starts, full_hour) >= first
    ORDER BY 1
$$;

-- Return the present time: the database's, or the setting kpi.now of those who may set it (server's login, owner,
-- superusers).
CREATE OR REPLACE FUNCTION kpi_admin.now() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN coalesce(pg_catalog.current_setting('kpi.now', true), '') <> '' AND kpi_admin.is_trusted()
        THEN pg_catalog.current_setting('kpi.now')::pg_catalog.timestamptz ELSE pg_catalog.now() END
$$;

-- Return the second of two values. It makes one of two aggregates for windows: last_known is the latest value named so
-- far; window_start is the start of the fixed window [start, start + length) that a moment falls into, and the first
-- moment at or after its end opens the next.
CREATE OR REPLACE FUNCTION kpi_admin.second_of_two(known anyelement, latest anyelement) RETURNS anyelement
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$ BEGIN RETURN latest; END $$;

CREATE OR REPLACE AGGREGATE kpi_admin.last_known(anyelement) (
    SFUNC = kpi_admin.second_of_two, STYPE = anyelement, PARALLEL = SAFE
);

-- Return the start of the window that a moment falls into, given that of the window before.
CREATE OR REPLACE FUNCTION kpi_admin.next_window(opened timestamptz, at timestamptz, length interval)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF opened IS NULL OR at >= opened + length THEN
        RETURN at;
    END IF;
    RETURN opened;
END
$$;

CREATE OR REPLACE AGGREGATE kpi_admin.window_start(timestamptz, interval) (
    SFUNC = kpi_admin.next_window, STYPE = timestamptz, PARALLEL = SAFE
);
