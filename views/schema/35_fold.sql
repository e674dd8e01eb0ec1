-- Slices folded by day, when a refresh has built them. What the columns mean, with an example: kpi_admin.day_amount in
-- 30_admin.sql.

-- Fold the slice that holds local days [first_day, end_day); there is none if nothing counted in them.
CREATE OR REPLACE FUNCTION kpi_admin.fold(id text, first_day date, end_day date, relation text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    no_rows CONSTANT text := '(SELECT 0 AS tenant_no, 0 AS entity, NULL::date AS day, 0 AS amount WHERE false) AS none';
    rows_text text := CASE WHEN relation IS NULL THEN no_rows ELSE format('kpi_slice.%I', relation) END;
BEGIN
    IF (SELECT entity IS NOT NULL FROM kpi_admin.kpi WHERE kpi_id = id) THEN
        PERFORM kpi_admin.fold_members(id, first_day, end_day, rows_text);
        RETURN;
    END IF;
    DELETE FROM kpi_admin.day_amount WHERE kpi_id = id AND day >= first_day AND day < end_day;
    EXECUTE format(
        'INSERT INTO kpi_admin.day_amount SELECT $1, tenant_no, day, sum(amount) FROM %s GROUP BY tenant_no, day',
        rows_text
    ) USING id;
END
$$;

-- Fold the slice of a distinct count. An entity that comes to count on a day, or no longer does, changes two rows: that
-- day's, and that of the next day on which it counts, for the day on which it last counted before moves. When Ann of
-- the example turns out to have counted on 2 May as well, 2 May gets a row, and `since` of 3 May becomes
-- {-infinity, 2 May}.
CREATE OR REPLACE FUNCTION kpi_admin.fold_members(id text, first_day date, end_day date, rows_text text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    tenants integer[];
    days date[];
BEGIN
    EXECUTE format($text$
        WITH fresh AS MATERIALIZED (
            SELECT DISTINCT tenant_no, entity, day FROM %s
        ), old AS MATERIALIZED (
            SELECT tenant_no, entity, day FROM kpi_admin.counted_day WHERE kpi_id = $1 AND day >= $2 AND day < $3
        ), gone AS MATERIALIZED (
            SELECT * FROM old EXCEPT SELECT * FROM fresh
        ), come AS MATERIALIZED (
            SELECT * FROM fresh EXCEPT SELECT * FROM old
        ), deleted AS (
            DELETE FROM kpi_admin.counted_day AS counted USING gone
            WHERE counted.kpi_id = $1 AND counted.entity = gone.entity AND counted.day = gone.day
        ), counted AS (
            SELECT tenant_no, entity, day, NULL::date AS before FROM come
            UNION ALL
            -- By each one's own key: else all of the KPI's rows are read.
            SELECT own.* FROM (SELECT entity FROM come UNION SELECT entity FROM gone) AS changed
            CROSS JOIN LATERAL (
                SELECT known.tenant_no, known.entity, known.day, known.before
                FROM kpi_admin.counted_day AS known
                WHERE known.kpi_id = $1 AND known.entity = changed.entity OFFSET 0
            ) AS own
            WHERE (own.tenant_no, own.entity, own.day) NOT IN (SELECT tenant_no, entity, day FROM gone)
        ), linked AS (
            SELECT *, lag(day, 1, '-infinity') OVER (PARTITION BY entity ORDER BY day) AS latest FROM counted
        ), written AS (
            INSERT INTO kpi_admin.counted_day (kpi_id, entity, day, tenant_no, before)
            SELECT $1, entity, day, tenant_no, latest FROM linked WHERE latest IS DISTINCT FROM before
            ON CONFLICT (kpi_id, entity, day) DO UPDATE SET before = excluded.before
            RETURNING tenant_no, day
        )
        SELECT array_agg(tenant_no), array_agg(day)
        FROM (SELECT * FROM written UNION SELECT tenant_no, day FROM gone) AS changed$text$, rows_text)
    INTO tenants, days USING id, first_day, end_day;

    DELETE FROM kpi_admin.day_amount AS folded USING unnest(tenants, days) AS changed (tenant_no, day)
    WHERE folded.kpi_id = id AND folded.tenant_no = changed.tenant_no AND folded.day = changed.day;
    INSERT INTO kpi_admin.day_amount
    SELECT id, tenant_no, day, sum(entities), array_agg(before ORDER BY before), array_agg(so_far ORDER BY before)
    FROM (
        SELECT counted.tenant_no, counted.day, counted.before, count(*) AS entities,
            sum(count(*)) OVER (PARTITION BY counted.tenant_no, counted.day ORDER BY counted.before)::integer AS so_far
        FROM unnest(tenants, days) AS changed (tenant_no, day)
        JOIN kpi_admin.counted_day AS counted
            ON counted.kpi_id = id AND counted.tenant_no = changed.tenant_no AND counted.day = changed.day
        GROUP BY 1, 2, 3
    ) AS by_date
    GROUP BY tenant_no, day;
END
$$;

-- Forget a KPI's days.
CREATE OR REPLACE FUNCTION kpi_admin.unfold(id text) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM kpi_admin.day_amount WHERE kpi_id = id;
    DELETE FROM kpi_admin.counted_day WHERE kpi_id = id
$$;
