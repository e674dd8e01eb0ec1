-- Slices folded by day, when a refresh has built them.

-- Folds the slice that holds local days [first_day, end_day), none if nothing counted in them.
CREATE OR REPLACE FUNCTION kpi_admin.fold(id text, first_day date, end_day date, relation text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    rows_text text := CASE WHEN relation IS NULL THEN '(SELECT 0 AS tenant_no, 0 AS entity, NULL::date AS day, 0 AS amount WHERE false) AS none'
        ELSE format('kpi_slice.%I', relation) END;
BEGIN
    IF (SELECT entity IS NOT NULL FROM kpi_admin.kpi WHERE kpi_id = id) THEN
        PERFORM kpi_admin.fold_members(id, first_day, end_day, rows_text);
        RETURN;
    END IF;
    DELETE FROM kpi_admin.day_amount WHERE kpi_id = id AND day >= first_day AND day < end_day;
    EXECUTE format('INSERT INTO kpi_admin.day_amount SELECT $1, tenant_no, day, sum(amount) FROM %s GROUP BY tenant_no, day', rows_text) USING id;
END
$$;

-- The same of a distinct count. Who came to count on a day, or no longer does, changes that day and the next on which they count.
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
            DELETE FROM kpi_admin.counted_day AS c USING gone AS g WHERE c.kpi_id = $1 AND c.entity = g.entity AND c.day = g.day
        ), counted AS (
            SELECT tenant_no, entity, day, NULL::date AS before FROM come
            UNION ALL
            -- By each one's own key: else all of the KPI's rows are read.
            SELECT c.* FROM (SELECT entity FROM come UNION SELECT entity FROM gone) AS x
            CROSS JOIN LATERAL (
                SELECT c.tenant_no, c.entity, c.day, c.before FROM kpi_admin.counted_day AS c WHERE c.kpi_id = $1 AND c.entity = x.entity OFFSET 0
            ) AS c
            WHERE (c.tenant_no, c.entity, c.day) NOT IN (SELECT tenant_no, entity, day FROM gone)
        ), linked AS (
            SELECT *, lag(day, 1, '-infinity') OVER (PARTITION BY entity ORDER BY day) AS latest FROM counted
        ), written AS (
            INSERT INTO kpi_admin.counted_day AS c SELECT $1, entity, day, tenant_no, latest FROM linked WHERE latest IS DISTINCT FROM before
            ON CONFLICT (kpi_id, entity, day) DO UPDATE SET before = excluded.before
            RETURNING tenant_no, day
        )
        SELECT array_agg(tenant_no), array_agg(day) FROM (SELECT * FROM written UNION SELECT tenant_no, day FROM gone) AS changed$text$, rows_text)
    INTO tenants, days USING id, first_day, end_day;

    DELETE FROM kpi_admin.day_amount AS d USING unnest(tenants, days) AS changed (tenant_no, day)
    WHERE d.kpi_id = id AND d.tenant_no = changed.tenant_no AND d.day = changed.day;
    INSERT INTO kpi_admin.day_amount
    SELECT id, tenant_no, day, sum(n), array_agg(before ORDER BY before), array_agg(so_far ORDER BY before)
    FROM (
        SELECT c.tenant_no, c.day, c.before, count(*) AS n, sum(count(*)) OVER (PARTITION BY c.tenant_no, c.day ORDER BY c.before)::integer AS so_far
        FROM unnest(tenants, days) AS changed (tenant_no, day)
        JOIN kpi_admin.counted_day AS c ON c.kpi_id = id AND c.tenant_no = changed.tenant_no AND c.day = changed.day
        GROUP BY 1, 2, 3
    ) AS counted
    GROUP BY tenant_no, day;
END
$$;

-- Forgets a KPI's days.
CREATE OR REPLACE FUNCTION kpi_admin.unfold(id text) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM kpi_admin.day_amount WHERE kpi_id = id;
    DELETE FROM kpi_admin.counted_day WHERE kpi_id = id
$$;

-- Slices that stand without their days, as an earlier version left them.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM kpi_admin.day_amount) THEN
        PERFORM kpi_admin.fold(s.kpi_id, s.first, s.last, s.relation)
        FROM kpi_admin.slice AS s JOIN kpi_admin.kpi AS k USING (kpi_id) WHERE k.fold IN ('sum', 'distinct');
    END IF;
END
$$;
