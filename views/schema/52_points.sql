-- The points of a plan: its fold, zero-filled and put in order, and what it is held against.

-- Return the points of a `value` KPI over some ranges. A flow's months add up, a level's total is its latest month's;
-- several tenants add up.
CREATE OR REPLACE FUNCTION kpi_admin.value_points(p kpi_admin.plan, ranges kpi_admin.tenant_range[])
RETURNS TABLE (key timestamp, dims text[], value numeric)
LANGUAGE sql STABLE AS $$
    WITH months AS (
        SELECT r.tenant, m.key, v.value
        FROM unnest(ranges) AS r
        CROSS JOIN LATERAL (
            SELECT b.key, b.key::date AS month FROM kpi_admin.buckets(ranges, 'month', false, NULL) AS b
            WHERE r.keys IS NULL
            UNION ALL SELECT part.key, part.month FROM unnest(r.keys, r.part_days) AS part (key, month)
            -- Cumulated, what a tenant had goes on in the months that only others still have.
            UNION ALL SELECT DISTINCT other.key, NULL::date FROM unnest(ranges) AS o, unnest(o.keys) AS other (key)
            WHERE p.shape = 'cumulative' AND other.key > r.keys[cardinality(r.keys)]
        ) AS m
        LEFT JOIN kpi_admin.month_values((p.kpi).kpi_id) AS v
            ON v.tenant_no = r.tenant_no AND v.month = m.month AND m.month >= r.first_day AND m.month < r.last_day
    ), by_tenant AS (
        SELECT key, tenant,
            CASE
                WHEN p.shape = 'series' THEN value
                WHEN (p.kpi).fold = 'level'
                    THEN (array_agg(value) FILTER (WHERE value IS NOT NULL) OVER so_far)[count(value) OVER so_far]
                ELSE sum(value) OVER so_far
            END AS value,
            key = max(key) OVER (PARTITION BY tenant) AS is_last
        FROM months
        WINDOW so_far AS (PARTITION BY tenant ORDER BY key)
    )
    SELECT CASE WHEN p.shape <> 'total' THEN key END, ARRAY(SELECT tenant FROM unnest(p.grouped_by)), sum(value)
    FROM by_tenant
    WHERE p.shape <> 'total' OR is_last
    GROUP BY 1, 2
    -- A tenant is listed as a group when a month of the range has a value.
    HAVING p.grouped_by = '{}' OR p.all_groups
        OR (array_agg(tenant))[1] IN (SELECT tenant FROM months WHERE value IS NOT NULL)
$$;

-- Return the groups that `all_groups` lists: every active entity of the dimension that is grouped by, in the asked
-- tenants, under the conditions on it and on what its record names.
CREATE OR REPLACE FUNCTION kpi_admin.every_group(p kpi_admin.plan) RETURNS TABLE (dims text[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    entity_dim text := (SELECT name FROM unnest(p.grouped_by) AS name WHERE name <> 'tenant');
BEGIN
    IF entity_dim IS NULL THEN
        RETURN QUERY SELECT ARRAY[r.tenant] FROM unnest(p.ranges) AS r;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT DISTINCT ARRAY(SELECT CASE name WHEN 'tenant' THEN r.tenant ELSE e.id END FROM unnest(p.grouped_by) AS name)
    FROM unnest(p.ranges) AS r
    JOIN kpi_admin.entity AS e ON e.kind = entity_dim AND e.tenant_no = r.tenant_no AND e.active
    WHERE NOT EXISTS (
        SELECT FROM jsonb_array_elements(p.conditions) AS c
        JOIN kpi_admin.dim AS d ON d.dim = c ->> 'dim' AND entity_dim IN (d.dim, d.parent_of)
        WHERE NOT kpi_admin.meets(CASE WHEN d.dim = entity_dim THEN e.id ELSE e.dims ->> d.dim END, c)
    );
END
$$;

-- Return the value of a KPI where nothing counts: 0 for counts and sums, else null.
CREATE OR REPLACE FUNCTION kpi_admin.nothing(k kpi_admin.kpi) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN k.fold IN ('sum', 'distinct') THEN 0::numeric END $$;

-- Return a number of points; refuse more than an answer may have.
CREATE OR REPLACE FUNCTION kpi_admin.check_size(points bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF points > 100000 THEN
        PERFORM kpi_admin.refuse('too_many_points',
            format('the answer would have %s points; the most is 100,000', points),
            'Take a longer interval, a shorter range, or fewer groups.');
    END IF;
    RETURN points;
END
$$;

-- Return the points of a plan over some ranges: its own, or those that it is held against. Every group has every bucket
-- of the plan's own ranges; with `own_hours` a group of a tenant has that tenant's hours only.
CREATE OR REPLACE FUNCTION kpi_admin.points(
    p kpi_admin.plan, ranges kpi_admin.tenant_range[], own_hours boolean DEFAULT true
)
RETURNS TABLE (key timestamp, instant timestamptz, dims text[], value numeric)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    k kpi_admin.kpi := p.kpi;
    no_groups boolean := p.grouped_by = '{}';
BEGIN
    IF k.fold IN ('value', 'level') THEN
        RETURN QUERY
        SELECT v.key, b.instant, v.dims, v.value FROM kpi_admin.value_points(p, ranges) AS v
        LEFT JOIN kpi_admin.buckets(p.ranges, 'month', false, p.viewer_zone) AS b ON b.key = v.key;
    ELSIF p.shape = 'total' AND p.all_groups THEN
        RETURN QUERY
        SELECT NULL::timestamp, NULL::timestamptz, coalesce(f.dims, e.dims),
            CASE k.fold WHEN 'ratio' THEN f.numerator / nullif(f.denominator, 0)
                ELSE coalesce(f.numerator, 0) / k.per END
        FROM kpi_admin.folded(k, ranges, p.hourly, 'total', p.conditions, p.grouped_by, false) AS f
        FULL JOIN kpi_admin.every_group(p) AS e ON e.dims = f.dims
        WHERE e.dims IS NOT NULL OR k.fold <> 'ratio' OR f.denominator <> 0;
    ELSIF p.shape = 'total' THEN
        RETURN QUERY
        SELECT NULL::timestamp, NULL::timestamptz, f.dims,
            CASE k.fold WHEN 'ratio' THEN f.numerator / nullif(f.denominator, 0) ELSE f.numerator / k.per END
        FROM kpi_admin.folded(k, ranges, p.hourly, 'total', p.conditions, p.grouped_by, false) AS f
        WHERE no_groups OR k.fold <> 'ratio' OR f.denominator <> 0;
    ELSE
        RETURN QUERY
        WITH folded AS MATERIALIZED (
            SELECT * FROM kpi_admin.folded(
                k, ranges, p.hourly, p.bucket, p.conditions, p.grouped_by, p.shape = 'cumulative'
            )
        ), buckets AS MATERIALIZED (
            SELECT * FROM kpi_admin.buckets(
                p.ranges, p.bucket, own_hours AND 'tenant' = ANY (p.grouped_by), p.viewer_zone
            )
        ), groups AS MATERIALIZED (
            SELECT folded.dims FROM folded GROUP BY folded.dims HAVING k.fold <> 'ratio' OR sum(folded.denominator) <> 0
            UNION SELECT '{}'::text[] WHERE no_groups
            UNION SELECT every.dims FROM kpi_admin.every_group(p) AS every WHERE p.all_groups
        ), size AS (
            SELECT kpi_admin.check_size((SELECT count(*) FROM buckets) * (SELECT count(*) FROM groups)) AS points
        ), filled AS MATERIALIZED (
            SELECT buckets.key, buckets.instant, groups.dims, folded.numerator, folded.denominator
            FROM size CROSS JOIN groups
            JOIN buckets
                ON buckets.tenant IS NULL OR buckets.tenant = groups.dims[array_position(p.grouped_by, 'tenant')]
            LEFT JOIN folded ON folded.dims = groups.dims AND folded.key = buckets.key
            WHERE size.points >= 0
        ), summed AS (
            SELECT filled.key, filled.instant, filled.dims, sum(filled.numerator) OVER so_far AS numerator,
                sum(filled.denominator) OVER so_far AS denominator
            FROM filled WHERE p.shape = 'cumulative' WINDOW so_far AS (PARTITION BY filled.dims ORDER BY filled.key)
            UNION ALL SELECT filled.* FROM filled WHERE p.shape <> 'cumulative'
        )
        SELECT summed.key, summed.instant, summed.dims,
            CASE k.fold WHEN 'ratio' THEN summed.numerator / nullif(summed.denominator, 0)
                ELSE coalesce(summed.numerator, 0) / k.per END
        FROM summed;
    END IF;
    IF NOT FOUND AND p.shape = 'total' AND no_groups THEN
        RETURN QUERY SELECT NULL::timestamp, NULL::timestamptz, '{}'::text[], kpi_admin.nothing(k);
    END IF;
END
$$;

-- Return what the points of a plan are held against: for each bucket and group the mean of the moved ranges in which
-- something is left of the bucket, if they are `at_least` so many. Counts that had nothing there are 0; ratios that had
-- nothing are left out. With `of_each_tenant` the mean is each tenant's, and they are added up.
CREATE OR REPLACE FUNCTION kpi_admin.compared(
    p kpi_admin.plan, moved kpi_admin.tenant_range[], at_least integer, of_each_tenant boolean
) RETURNS TABLE (tenant text, key timestamp, dims text[], value numeric)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    k kpi_admin.kpi := p.kpi;
    wanted integer := cardinality(p.grouped_by);
    tenant_place integer;
    others timestamp[];       -- a tenant's group has every bucket, its range only those that it reaches
BEGIN
    p.all_groups := false;
    IF of_each_tenant THEN
        p.grouped_by := p.grouped_by || ARRAY['tenant'];
    END IF;
    -- Told apart by tenant, hours are each tenant's own; added up, they are all of them.
    IF 'tenant' = ANY (p.grouped_by) AND p.bucket <> 'total' AND (p.bucket <> 'hour' OR of_each_tenant)
        AND (p.compare = 'previous' OR p.shape = 'cumulative')
    THEN
        others := ARRAY(SELECT b.key FROM kpi_admin.buckets(p.ranges, p.bucket, false, NULL) AS b);
    END IF;
    tenant_place := array_position(p.grouped_by, 'tenant');
    RETURN QUERY
    WITH parts AS MATERIALIZED (
        -- Several tenants that are not told apart: a bucket has what any of them has left.
        SELECT CASE WHEN tenant_place IS NOT NULL THEN l.tenant END AS tenant, l.key, max(l.moves) AS moves
        FROM kpi_admin.parts_left(moved, p.shape = 'cumulative', others, p.compare = 'usual') AS l
        GROUP BY 1, 2
    ), points AS MATERIALIZED (
        SELECT m.dims, m.key, m.value
        FROM (SELECT DISTINCT r.move FROM unnest(moved) AS r) AS moves
        CROSS JOIN LATERAL kpi_admin.points(
            p, ARRAY(SELECT r FROM unnest(moved) AS r WHERE r.move = moves.move), NOT of_each_tenant
        ) AS m
    ), means AS (
        SELECT parts.tenant, parts.key, m.dims,
            CASE
                WHEN k.fold IN ('sum', 'distinct') THEN coalesce(sum(m.value), 0) / parts.moves
                WHEN count(m.value) >= at_least THEN avg(m.value)
            END AS value
        FROM parts
        LEFT JOIN points AS m
            ON m.key IS NOT DISTINCT FROM parts.key AND m.dims[tenant_place] IS NOT DISTINCT FROM parts.tenant
        WHERE parts.moves >= at_least
        GROUP BY parts.tenant, parts.key, parts.moves, m.dims
    )
    SELECT CASE WHEN NOT of_each_tenant THEN m.tenant END, m.key, m.dims[:wanted], sum(m.value)
    FROM means AS m GROUP BY 1, 2, 3;
END
$$;

-- Return the answer to a plan that is no distribution: its points in order, and what each is held against when the plan
-- compares.
CREATE OR REPLACE FUNCTION kpi_admin.answer(p kpi_admin.plan)
RETURNS TABLE (bucket_start timestamptz, dims text[], value numeric, compared numeric)
-- Planning the constant statements on the way takes longer than running them.
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    k kpi_admin.kpi := p.kpi;
    moved kpi_admin.tenant_range[];
    is_usual boolean := p.compare = 'usual';
    no_tenants boolean := p.shape = 'total' AND cardinality(p.ranges) = 0;
    tenant_place integer := array_position(p.grouped_by, 'tenant');
BEGIN
    IF p.compare IS NULL THEN
        RETURN QUERY
        SELECT a.instant, a.dims, a.value, NULL::numeric
        FROM kpi_admin.points(p, p.ranges) AS a ORDER BY a.instant, a.key, a.dims COLLATE "C";
        RETURN;
    END IF;
    moved := ARRAY(SELECT m FROM kpi_admin.compared_ranges(p) AS m);
    RETURN QUERY
    WITH others AS MATERIALIZED (
        SELECT o.* FROM kpi_admin.compared(p, moved, CASE WHEN is_usual THEN 2 ELSE 1 END,
            is_usual AND k.fold <> 'ratio' AND tenant_place IS NULL AND cardinality(p.ranges) > 1) AS o
    ), left_of AS (
        SELECT DISTINCT o.tenant, o.key FROM others AS o
    )
    SELECT a.instant, a.dims, a.value,
        CASE WHEN l.found OR no_tenants AND NOT is_usual THEN coalesce(o.value, kpi_admin.nothing(k)) END
    FROM kpi_admin.points(p, p.ranges) AS a
    LEFT JOIN others AS o ON o.key IS NOT DISTINCT FROM a.key AND o.dims = a.dims
    LEFT JOIN (SELECT left_of.*, true AS found FROM left_of) AS l
        ON l.key IS NOT DISTINCT FROM a.key AND l.tenant IS NOT DISTINCT FROM a.dims[tenant_place]
    ORDER BY a.instant, a.key, a.dims COLLATE "C";
END
$$;

-- Return the average of a messaging metric per weekday (1 is Monday) and local hour over the ranges of a plan: for each
-- tenant by its own clock, divided by the dates of that weekday, then added up.
CREATE OR REPLACE FUNCTION kpi_admin.distribution(p kpi_admin.plan)
RETURNS TABLE (weekday text, hour text, value numeric)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT (p.kpi).distribution THEN
        PERFORM kpi_admin.refuse('no_distribution', format('%s has no distribution', (p.kpi).kpi_id),
            (SELECT 'These have one: ' || string_agg(k.kpi_id, ', ' ORDER BY k.position) || '.'
             FROM kpi_admin.kpi AS k WHERE k.distribution));
    END IF;
    RETURN QUERY
    WITH amounts AS (
        SELECT folded.dims[1] AS tenant, extract(isodow FROM folded.key) AS weekday,
            extract(hour FROM folded.key) AS hour, sum(folded.numerator) AS amount
        FROM kpi_admin.folded(p.kpi, p.ranges, false, 'weekday hour', p.conditions, '{tenant}', false) AS folded
        GROUP BY 1, 2, 3
    ), dates AS (
        SELECT range.tenant, extract(isodow FROM day.key) AS weekday, count(*) AS count
        FROM unnest(p.ranges) AS range
        CROSS JOIN LATERAL kpi_admin.buckets(ARRAY[range], 'day', false, NULL) AS day
        GROUP BY 1, 2
    ), averages AS (
        SELECT dates.weekday, hours.hour, coalesce(amounts.amount, 0) / dates.count AS average
        FROM dates CROSS JOIN generate_series(0, 23) AS hours (hour)
        LEFT JOIN amounts ON amounts.tenant = dates.tenant AND amounts.weekday = dates.weekday
            AND amounts.hour = hours.hour
    )
    SELECT weekdays.weekday::text, hours.hour::text, sum(averages.average)
    FROM generate_series(1, 7) AS weekdays (weekday) CROSS JOIN generate_series(0, 23) AS hours (hour)
    LEFT JOIN averages ON averages.weekday = weekdays.weekday AND averages.hour = hours.hour
    GROUP BY weekdays.weekday, hours.hour
    ORDER BY weekdays.weekday, hours.hour;
END
$$;

-- Return what a plan's number counts, ordered by time and id: an event, session or conversation a row.
CREATE OR REPLACE FUNCTION kpi_admin.hits(p kpi_admin.plan, at_most bigint, skip bigint)
RETURNS TABLE (
    tenant_id text, at timestamptz, kind text, id text, contact text, conversation text, amount numeric, dims jsonb
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    k kpi_admin.kpi := p.kpi;
    columns text;
    joins text;
    dims_object text;
    parts text;
BEGIN
    SELECT coalesce(string_agg(DISTINCT format(', %I', coalesce(dim.parent_of, dim.dim)), ''), ''),
        coalesce(string_agg(DISTINCT dim.join_sql, ' '), ''),
        format('jsonb_build_object(%s)', string_agg(format('%L, %s', dim.dim, dim.expression), ', '))
    INTO columns, joins, dims_object FROM kpi_admin.dim AS dim WHERE dim.dim = ANY (k.dims);
    SELECT string_agg(format(
        'SELECT hit.tenant_no, hit.at, hit.kind, hit.id, hit.contact_no, hit.conversation_no%s,
            hit.amount * %s AS numerator, hit.amount * %s AS denominator
         FROM unnest($1) AS range JOIN kpi_hits.%I AS hit ON hit.tenant_no = range.tenant_no
            AND hit.local_day >= range.first_day AND hit.local_day < range.last_day
            AND hit.at >= range.starts AND hit.at < range.ends',
        columns, part.numerator, part.denominator, part.kpi_id), ' UNION ALL ')
    INTO parts FROM unnest(k.parts, k.numerators, k.denominators) AS part (kpi_id, numerator, denominator);
    -- `s` is the name that the texts of kpi_admin.dim have for a row with the columns of dimensions.
    RETURN QUERY EXECUTE format(
        'SELECT number.tenant, s.at, s.kind, s.id, contact.contact, conversation.conversation, %s, %s
         FROM (
             SELECT tenant_no, at, kind, id, contact_no, conversation_no%s,
                 sum(numerator) AS numerator, sum(denominator) AS denominator
             FROM (%s) AS every_part GROUP BY tenant_no, at, kind, id, contact_no, conversation_no%s
         ) AS s
         JOIN kpi_data.tenant_number AS number ON number.tenant_no = s.tenant_no
         LEFT JOIN kpi_fact.contact AS contact ON contact.contact_no = s.contact_no
         LEFT JOIN kpi_fact.conversation AS conversation ON conversation.conversation_no = s.conversation_no %s
         WHERE %s%s ORDER BY s.at, s.id LIMIT $3 OFFSET $4',
        CASE WHEN k.fold = 'ratio' THEN 's.numerator / s.denominator' ELSE format('s.numerator / %s', k.per) END,
        dims_object, columns, parts, columns, joins,
        CASE WHEN k.fold = 'ratio' THEN 's.denominator <> 0' ELSE 'true' END, kpi_admin.filter_sql(p.conditions)
    ) USING p.ranges, p.conditions, at_most, skip;
END
$$;
