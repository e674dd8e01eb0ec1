-- A question taken apart: its filters, its tenants, the range each of them answers for, the buckets.

-- Refuses a question: `code` is a fixed word (SQLSTATE KP422, the word as the error's constraint name).
CREATE OR REPLACE FUNCTION kpi_admin.refuse(code text, message text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = CASE WHEN code = 'unknown_kpi' THEN 'KP404' ELSE 'KP422' END,
        MESSAGE = message, HINT = coalesce(hint, ''), CONSTRAINT = code;
END
$$;

-- A JSON scalar as text: a number is its shortest text (2.0 is 2).
CREATE OR REPLACE FUNCTION kpi_admin.scalar_text(value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'string' THEN RETURN value #>> '{}';
        WHEN 'number' THEN RETURN trim_scale((value #>> '{}')::numeric)::text;
        WHEN 'boolean' THEN RETURN value #>> '{}';
        ELSE PERFORM kpi_admin.refuse('invalid_filter', 'a filter''s value is a text, a number, or a list of them');
    END CASE;
    RETURN NULL;
END
$$;

-- The values that one plain string spells: a, ["a","b"], (a|b) with \ before a literal character, {a,b}.
CREATE OR REPLACE FUNCTION kpi_admin.spelled(value text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    found text[] := '{}';
    part text := '';
    list jsonb;
    i integer := 2;
BEGIN
    IF value ~ '^\[.*\]$' THEN
        BEGIN
            list := value::jsonb;
            IF EXISTS (SELECT FROM jsonb_array_elements(list) AS e WHERE jsonb_typeof(e) NOT IN ('string', 'number')) THEN
                RETURN ARRAY[value];
            END IF;
            RETURN ARRAY(SELECT kpi_admin.scalar_text(e) FROM jsonb_array_elements(list) AS e);
        EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
            RETURN ARRAY[value];
        END;
    ELSIF value ~ '^\{.*\}$' THEN
        RETURN CASE WHEN value = '{}' THEN '{}' ELSE string_to_array(substr(value, 2, length(value) - 2), ',') END;
    ELSIF value ~ '^\(.*\)$' THEN
        WHILE i < length(value) LOOP
            IF substr(value, i, 1) = '\' THEN
                i := i + 1;
                IF i = length(value) THEN
                    RETURN ARRAY[value];  -- the closing parenthesis itself was escaped
                END IF;
                part := part || substr(value, i, 1);
            ELSIF substr(value, i, 1) = '|' THEN
                found := found || part;
                part := '';
            ELSE
                part := part || substr(value, i, 1);
            END IF;
            i := i + 1;
        END LOOP;
        RETURN CASE WHEN value = '()' THEN '{}' ELSE found || part END;
    END IF;
    RETURN ARRAY[value];
END
$$;

-- Filters as a list of {dim, op, values}. `filters` is an object by dimension, or a list of such objects that all hold.
CREATE OR REPLACE FUNCTION kpi_admin.conditions(filters jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    conditions jsonb := '[]';
    filter record;
    given text[];
    operator text;
    list jsonb;
BEGIN
    IF filters IS NULL OR filters = '{}' OR jsonb_typeof(filters) = 'null' THEN
        RETURN conditions;
    ELSIF jsonb_typeof(filters) NOT IN ('object', 'array') THEN
        PERFORM kpi_admin.refuse('invalid_filter', 'filters is an object: {"dimension": "value"}');
    END IF;
    FOR filter IN
        SELECT e.key, e.value
        FROM jsonb_array_elements(CASE jsonb_typeof(filters) WHEN 'array' THEN filters ELSE jsonb_build_array(filters) END) AS f,
            jsonb_each(f) AS e
    LOOP
        operator := '=';
        IF jsonb_typeof(filter.value) = 'object' THEN
            operator := filter.value ->> 'op';
            list := filter.value -> 'values';
            IF operator IS NULL OR operator NOT IN ('=', '!=', '=~', '!~') OR list IS NULL THEN
                PERFORM kpi_admin.refuse('invalid_filter', format('the filter on %s needs an op (=, !=, =~ or !~) and values', filter.key));
            END IF;
            list := CASE jsonb_typeof(list) WHEN 'array' THEN list ELSE jsonb_build_array(list) END;
            given := ARRAY(SELECT kpi_admin.scalar_text(e) FROM jsonb_array_elements(list) AS e);
        ELSE
            list := CASE jsonb_typeof(filter.value) WHEN 'array' THEN filter.value ELSE jsonb_build_array(filter.value) END;
            IF jsonb_array_length(list) = 1 AND jsonb_typeof(list -> 0) = 'string' THEN
                given := kpi_admin.spelled(list ->> 0);
            ELSE
                given := ARRAY(SELECT kpi_admin.scalar_text(e) FROM jsonb_array_elements(list) AS e);
            END IF;
            IF given && ARRAY['*', '$__all'] THEN
                given := '{}';
            END IF;
        END IF;
        IF operator IN ('=~', '!~') THEN
            IF (SELECT bool_or(length(v) > 1000) FROM unnest(given) AS v) THEN
                PERFORM kpi_admin.refuse('invalid_filter', 'a regular expression has at most 1,000 characters');
            END IF;
            BEGIN
                PERFORM '' ~ kpi_admin.anchored(v) FROM unnest(given) AS v;
            EXCEPTION WHEN invalid_regular_expression THEN
                PERFORM kpi_admin.refuse('invalid_filter', format('the filter on %s is no regular expression', filter.key));
            END;
        END IF;
        IF cardinality(given) > 0 THEN
            conditions := conditions || jsonb_build_object('dim', filter.key, 'op', operator, 'values', to_jsonb(given));
        END IF;
    END LOOP;
    RETURN conditions;
END
$$;

-- Each text once, in order; of null none.
CREATE OR REPLACE FUNCTION kpi_admin.once(texts text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF cardinality(texts) < 2 THEN
        RETURN texts;
    END IF;
    RETURN ARRAY(SELECT n.t FROM unnest(texts) WITH ORDINALITY AS n (t, i) GROUP BY n.t ORDER BY min(n.i));
END
$$;

-- Whether a value meets a condition; the planner writes the same test as SQL for the rows of slices.
CREATE OR REPLACE FUNCTION kpi_admin.meets(actual text, condition jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT (condition ->> 'op' IN ('!=', '!~')) <> (
        SELECT bool_or(CASE WHEN condition ->> 'op' IN ('=~', '!~') THEN actual ~ kpi_admin.anchored(w.v) ELSE actual = w.v END)
        FROM jsonb_array_elements_text(condition -> 'values') AS w (v)
    )
$$;

-- A regular expression anchored at both ends; options that only may stand first stay first.
CREATE OR REPLACE FUNCTION kpi_admin.anchored(pattern text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(substring(pattern from '^(\(\?[a-z]+\)).*$'), '') || '^(?:' || regexp_replace(pattern, '^\(\?[a-z]+\)', '') || ')$'
$$;

-- What a tenant answers for: local days [first_day, last_day), instants [starts, ends); tenant_no is null for one never heard of.
DO $$
BEGIN
    CREATE TYPE kpi_admin.tenant_range AS (
        tenant_no integer, tenant text, zone text,
        first_day date, last_day date, starts timestamptz, ends timestamptz
    );
EXCEPTION WHEN duplicate_object THEN
    NULL;
END
$$;

-- The tenants that a question is about: those that this session may see and that the conditions choose.
CREATE OR REPLACE FUNCTION kpi_admin.asked_tenants(conditions jsonb) RETURNS TABLE (tenant_no integer, tenant text, zone text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    visible text[] := kpi_admin.visible_tenants();
    of_tenant jsonb := jsonb_path_query_array(conditions, '$[*] ? (@.dim == "tenant")');
    named jsonb := jsonb_path_query_array(of_tenant, '$[*] ? (@.op == "=").values[*]');
    ids text[];
BEGIN
    IF named <> '[]' THEN
        ids := ARRAY(SELECT DISTINCT v FROM jsonb_array_elements_text(named) AS v WHERE visible IS NULL OR v = ANY (visible));
    ELSE
        ids := coalesce(visible, ARRAY(SELECT k.tenant FROM kpi_data.tenant_number AS k));
    END IF;
    IF jsonb_array_length(of_tenant) > 1 OR of_tenant -> 0 ->> 'op' <> '=' THEN
        ids := ARRAY(SELECT v FROM unnest(ids) AS v WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(of_tenant) AS c WHERE NOT kpi_admin.meets(v, c)));
    END IF;
    RETURN QUERY
    SELECT n.tenant_no, i.id, coalesce(t.zone, 'UTC')
    FROM unnest(ids) AS i (id)
    LEFT JOIN kpi_data.tenant_number AS n ON n.tenant = i.id
    LEFT JOIN kpi_fact.tenant AS t ON t.tenant_no = n.tenant_no;
END
$$;

-- One tenant's range (rules.md, 2.2 and 2.3) for a grain (hour, day, month); null days where now leaves nothing of it.
CREATE OR REPLACE FUNCTION kpi_admin.widened(
    grain text, asked_from timestamptz, asked_to timestamptz, zone text, viewer_zone text,
    OUT first_day date, OUT last_day date, OUT starts timestamptz, OUT ends timestamptz
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    now timestamptz := kpi_admin.now();
    of_dates boolean := false;
    hour record;
BEGIN
    starts := asked_from;
    ends := asked_to;
    IF viewer_zone IS NOT NULL THEN
        first_day := (asked_from AT TIME ZONE viewer_zone)::date;
        last_day := ((asked_to + interval '1 ms') AT TIME ZONE viewer_zone)::date;
        IF kpi_admin.day_start(viewer_zone, first_day) = asked_from
            AND kpi_admin.day_start(viewer_zone, last_day) IN (asked_to, asked_to + interval '1 ms')
        THEN
            of_dates := true;
            starts := kpi_admin.day_start(zone, first_day);
            ends := kpi_admin.day_start(zone, last_day);
        END IF;
    END IF;
    IF ends > now AND grain = 'hour' THEN
        ends := least(ends, (kpi_admin.hour_of(zone, now)).ends);
    ELSIF ends > now THEN
        ends := least(ends, kpi_admin.day_start(zone, (date_trunc(grain, kpi_admin.local_day(zone, now)::timestamp) + ('1 ' || grain)::interval)::date));
    END IF;
    IF starts >= ends THEN
        starts := ends;
        first_day := NULL;
        last_day := NULL;
        RETURN;
    END IF;
    IF grain = 'hour' AND NOT of_dates THEN
        starts := (kpi_admin.hour_of(zone, starts)).starts;
        hour := kpi_admin.hour_of(zone, ends);
        ends := CASE WHEN hour.starts = ends THEN ends ELSE hour.ends END;
    END IF;
    first_day := kpi_admin.local_day(zone, starts);
    last_day := kpi_admin.local_day(zone, ends - interval '1 microsecond') + 1;
    IF grain = 'month' THEN
        first_day := date_trunc('month', first_day::timestamp);
        last_day := date_trunc('month', (last_day - 1)::timestamp) + interval '1 month';
    END IF;
    IF grain <> 'hour' THEN
        starts := kpi_admin.day_start(zone, first_day);
        ends := kpi_admin.day_start(zone, last_day);
    END IF;
END
$$;

-- As many whole units of the grain directly before a range.
CREATE OR REPLACE FUNCTION kpi_admin.range_before(r kpi_admin.tenant_range, grain text) RETURNS kpi_admin.tenant_range
LANGUAGE plpgsql STABLE AS $$
DECLARE
    before kpi_admin.tenant_range := r;
    hours bigint;
BEGIN
    before.ends := r.starts;
    IF r.first_day IS NULL THEN
        RETURN before;
    ELSIF grain = 'hour' THEN
        SELECT count(*) INTO hours FROM kpi_admin.hours(r.zone, r.starts, r.ends);
        SELECT min(h) INTO before.starts FROM (
            SELECT h FROM kpi_admin.hours(r.zone, r.starts - hours * interval '1 hour' - interval '3 hours', r.starts) AS h
            ORDER BY h DESC LIMIT hours
        ) AS latest;
        before.first_day := kpi_admin.local_day(r.zone, before.starts);
        before.last_day := kpi_admin.local_day(r.zone, before.ends - interval '1 microsecond') + 1;
    ELSE
        before.last_day := r.first_day;
        IF grain = 'day' THEN
            before.first_day := r.first_day - (r.last_day - r.first_day - kpi_admin.skipped_days(r.zone, r.first_day, r.last_day));
            before.first_day := before.first_day - kpi_admin.skipped_days(r.zone, before.first_day, r.first_day);
        ELSE
            before.first_day := r.first_day - ((extract(year FROM age(r.last_day, r.first_day)) * 12
                + extract(month FROM age(r.last_day, r.first_day)))::integer) * interval '1 month';
        END IF;
        before.starts := kpi_admin.day_start(r.zone, before.first_day);
    END IF;
    RETURN before;
END
$$;

-- The buckets of some ranges in order: their key (local date, or for hours the instant in UTC) and their instant.
CREATE OR REPLACE FUNCTION kpi_admin.buckets(ranges kpi_admin.tenant_range[], bucket text, viewer_zone text)
RETURNS TABLE (pos bigint, key timestamp, instant timestamptz)
LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    zones text[] := ARRAY(SELECT DISTINCT r.zone FROM unnest(ranges) AS r);
    zone text := CASE WHEN cardinality(zones) = 1 THEN zones[1] END;
    plain boolean;
BEGIN
    IF bucket = 'hour' THEN
        RETURN QUERY
        SELECT row_number() OVER (ORDER BY h), h AT TIME ZONE 'UTC', h
        FROM (SELECT DISTINCT h FROM unnest(ranges) AS r, kpi_admin.hours(r.zone, r.starts, r.ends) AS h) AS all_hours;
        RETURN;
    END IF;
    -- Where no clock changes about a midnight, local midnights need no care, and no date is skipped.
    plain := NOT EXISTS (
        SELECT FROM unnest(ranges) AS r
        JOIN kpi_admin.zone_period AS p ON p.zone = r.zone AND p.starts > r.starts - interval '2 days' AND p.starts < r.ends + interval '2 days'
        CROSS JOIN LATERAL (
            SELECT p.starts AT TIME ZONE p.zone AS after, (p.starts - interval '1 second') AT TIME ZONE p.zone + interval '1 second' AS before
        ) AS clock
        WHERE extract(hour FROM least(before, after)) = 0 OR before::date <> after::date
    );
    RETURN QUERY
    SELECT row_number() OVER (ORDER BY d.local_day), d.local_day,
        CASE
            WHEN cardinality(ranges) > 1 AND viewer_zone IS NOT NULL THEN kpi_admin.day_start(viewer_zone, d.local_day::date)
            WHEN zone IS NULL THEN d.local_day AT TIME ZONE 'UTC'
            -- The first day of a week or month may lie long before the range.
            WHEN plain AND bucket = 'day' THEN d.local_day AT TIME ZONE zone
            ELSE kpi_admin.day_start(zone, d.local_day::date)
        END
    FROM (
        SELECT DISTINCT date_trunc(bucket, day) AS local_day
        FROM unnest(ranges) AS r, generate_series(r.first_day::timestamp, (r.last_day - 1)::timestamp, interval '1 day') AS day
        -- A date that a zone skipped whole (Apia, 30 December 2011) has no bucket.
        WHERE plain OR kpi_admin.day_start(r.zone, day::date) < kpi_admin.day_start(r.zone, day::date + 1)
    ) AS d;
END
$$;
