-- How fresh the numbers are, for the tenants that a reader may see. Everything here goes by the real clock.

-- The newest event of each tenant in each slice. A slice never changes: its rows are right for as long as it stands.
CREATE TABLE IF NOT EXISTS kpi_admin.slice_newest (
    relation text NOT NULL, tenant_no integer NOT NULL, newest_event timestamptz NOT NULL,
    PRIMARY KEY (relation, tenant_no)
);
-- The newest load of each tenant that a refresh has taken in.
CREATE TABLE IF NOT EXISTS kpi_admin.tenant_load (tenant_no integer PRIMARY KEY, load_no integer NOT NULL);

-- Which loads brought present records of entities, by tenant.
CREATE OR REPLACE VIEW kpi_admin.entity_load AS
SELECT tenant_no, load_no FROM kpi_data.tenant UNION ALL SELECT tenant_no, load_no FROM kpi_data.folder
UNION ALL SELECT tenant_no, load_no FROM kpi_data.experience UNION ALL SELECT tenant_no, load_no FROM kpi_data.module
UNION ALL SELECT tenant_no, load_no FROM kpi_data.location UNION ALL SELECT tenant_no, load_no FROM kpi_data.department
UNION ALL SELECT tenant_no, load_no FROM kpi_data.inbox UNION ALL SELECT tenant_no, load_no FROM kpi_data.channel
UNION ALL SELECT tenant_no, load_no FROM kpi_data."user" UNION ALL SELECT tenant_no, load_no FROM kpi_data.bot
UNION ALL SELECT tenant_no, load_no FROM kpi_data.potential;

-- Bring kpi_admin.slice_newest and kpi_admin.tenant_load up to date: for each refresh, after its slices.
CREATE OR REPLACE FUNCTION kpi_admin.note_freshness() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    slice record;
    noted integer := (SELECT coalesce(max(l.load_no), 0) FROM kpi_admin.tenant_load AS l);
BEGIN
    DELETE FROM kpi_admin.slice_newest AS n
    WHERE NOT EXISTS (SELECT FROM kpi_admin.slice AS s WHERE s.relation = n.relation);
    FOR slice IN
        SELECT DISTINCT s.relation FROM kpi_admin.slice AS s
        WHERE NOT EXISTS (SELECT FROM kpi_admin.slice_newest AS n WHERE n.relation = s.relation)
    LOOP
        EXECUTE format(
            'INSERT INTO kpi_admin.slice_newest (relation, tenant_no, newest_event)
             SELECT %L, tenant_no, coalesce(max(newest), ''-infinity'') FROM kpi_slice.%I GROUP BY tenant_no',
            slice.relation, slice.relation);
    END LOOP;
    INSERT INTO kpi_admin.tenant_load AS l (tenant_no, load_no)
    SELECT loaded.tenant_no, max(loaded.load_no)
    FROM (
        SELECT e.tenant_no, e.load_no FROM kpi_data.event AS e WHERE e.load_no > noted
        UNION ALL SELECT e.tenant_no, e.load_no FROM kpi_admin.entity_load AS e WHERE e.load_no > noted
    ) AS loaded
    GROUP BY loaded.tenant_no
    ON CONFLICT (tenant_no) DO UPDATE SET load_no = greatest(l.load_no, excluded.load_no);
END
$$;
SELECT kpi_admin.note_freshness();

-- Return the newest contribution to a KPI of a tenant in local days [first, last) that is not after now.
CREATE OR REPLACE FUNCTION kpi_admin.newest_hit(kpi_id text, tenant_no integer, first date, last date)
RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest timestamptz;
BEGIN
    EXECUTE format(
        'SELECT max(at) FROM kpi_hits.%I
         WHERE tenant_no = $1 AND local_day >= $2 AND local_day < $3 AND at <= now() AND amount IS NOT NULL', kpi_id)
    INTO newest USING tenant_no, first, last;
    RETURN newest;
END
$$;

-- Return since when the oldest load waits that has something of some tenants and that no refresh has taken in, and
-- when their newest load was. With `every` it is about all loads, those among them that brought nothing.
CREATE OR REPLACE FUNCTION kpi_admin.loads_of(
    tenants integer[], every boolean, OUT waiting_since timestamptz, OUT loaded_at timestamptz
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken_in integer := (SELECT s.load_no FROM kpi_admin.state AS s);
BEGIN
    IF every THEN
        SELECT min(l.loaded_at) FILTER (WHERE l.load_no > taken_in AND l.taken > 0), max(l.loaded_at)
        INTO waiting_since, loaded_at FROM kpi_admin.load AS l;
        RETURN;
    END IF;
    SELECT min(l.loaded_at), max(l.loaded_at) INTO waiting_since, loaded_at
    FROM kpi_admin.load AS l
    WHERE l.load_no > taken_in AND l.taken > 0 AND (
        EXISTS (SELECT FROM kpi_data.event AS e WHERE e.load_no = l.load_no AND e.tenant_no = ANY (tenants))
        OR EXISTS (SELECT FROM kpi_admin.entity_load AS e WHERE e.load_no = l.load_no AND e.tenant_no = ANY (tenants))
    );
    loaded_at := coalesce(loaded_at, (
        SELECT max(l.loaded_at) FROM kpi_admin.tenant_load AS t JOIN kpi_admin.load AS l ON l.load_no = t.load_no
        WHERE t.tenant_no = ANY (tenants)
    ));
END
$$;

-- Return how fresh each view is, for some tenants.
CREATE OR REPLACE FUNCTION kpi_admin.freshness_of(tenants integer[], every boolean)
RETURNS TABLE (
    view_name text, kpi_ids text[], refreshed_at timestamptz, newest_event timestamptz, behind interval,
    loaded_at timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'kpi.' || k.kpi_id,
        ARRAY(SELECT u.kpi_id FROM kpi_admin.kpi AS u WHERE k.kpi_id = ANY (u.parts) ORDER BY u.position),
        state.refreshed_at, nullif(newest.at, '-infinity'), coalesce(now() - loads.waiting_since, interval '0'),
        loads.loaded_at
    FROM kpi_admin.kpi AS k
    CROSS JOIN kpi_admin.state
    CROSS JOIN kpi_admin.loads_of(tenants, every) AS loads
    LEFT JOIN (
        SELECT s.kpi_id, max(CASE WHEN n.newest_event <= now() THEN n.newest_event
            ELSE kpi_admin.newest_hit(s.kpi_id, n.tenant_no, s.first, s.last) END) AS at
        FROM kpi_admin.slice AS s JOIN kpi_admin.slice_newest AS n ON n.relation = s.relation
        WHERE n.tenant_no = ANY (tenants)
        GROUP BY s.kpi_id
    ) AS newest ON newest.kpi_id = k.kpi_id
    WHERE k.fold <> 'ratio'
    ORDER BY k.position
$$;

-- Return how fresh each view is for the session that asks.
CREATE OR REPLACE FUNCTION kpi_admin.freshness() RETURNS TABLE (
    view_name text, kpi_ids text[], refreshed_at timestamptz, newest_event timestamptz, behind interval,
    loaded_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT f.* FROM kpi_admin.freshness_of(
        kpi_admin.visible_tenant_numbers(),
        kpi_admin.visible_tenants() IS NULL
            OR kpi_admin.is_trusted() AND current_setting('kpi.every_tenant', true) = 'true'
    ) AS f
$$;

CREATE OR REPLACE VIEW kpi.freshness AS
SELECT f.view_name, f.kpi_ids, f.refreshed_at, f.newest_event, f.behind, f.loaded_at FROM kpi_admin.freshness() AS f;
COMMENT ON VIEW kpi.freshness IS 'How fresh each view is, for the tenants that the reader may see.';
COMMENT ON COLUMN kpi.freshness.view_name IS 'The view.';
COMMENT ON COLUMN kpi.freshness.kpi_ids IS 'The KPIs that read it.';
COMMENT ON COLUMN kpi.freshness.refreshed_at IS 'When it was last brought up to date.';
COMMENT ON COLUMN kpi.freshness.newest_event IS 'The time of the newest event it holds that is not after now.';
COMMENT ON COLUMN kpi.freshness.behind IS
    'The age of the oldest load that it does not hold yet; 0 when it holds all.';
COMMENT ON COLUMN kpi.freshness.loaded_at IS 'When the newest load was: a loader that stopped lets it grow old.';

-- Return the events dated after now, by tenant: they make nothing fresh.
CREATE OR REPLACE FUNCTION kpi_admin.future_events() RETURNS TABLE (tenant text, events bigint, newest timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT n.tenant, count(*), max(e.at)
    FROM kpi_data.tenant_number AS n JOIN kpi_fact.event AS e ON e.tenant_no = n.tenant_no AND e.at > now()
    GROUP BY n.tenant;
END
$$;
