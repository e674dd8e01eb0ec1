"""What `chatkpi check` looks at in the database: a list of checks, each with what mends it."""

from dataclasses import dataclass

INIT = "run chatkpi init"
INIT_REFRESH = "run chatkpi init, then chatkpi refresh"
REFRESH = "run chatkpi refresh"
FULL = "run chatkpi refresh --full"


@dataclass(frozen=True)
class Check:
    """Something that has to hold.

    query: gives a text for each thing that is wrong, nothing when all is well. Where there is a
    second column, that is a query, and the text tells what is wrong if it gives rows.
    remedy: what mends it.
    of_numbers: it says nothing while definitions or erased contacts wait for a refresh.
    """

    name: str
    query: str
    remedy: str
    of_numbers: bool = False


# What waits for a refresh after an upgrade or a `forget`, and since when.
DUE = """
SELECT concat_ws(', ',
    CASE WHEN state.full_due OR to_jsonb(state) ->> 'publish_due' = 'true' THEN 'definitions' END,
    CASE WHEN EXISTS (SELECT FROM kpi_admin.kpi WHERE stale) THEN 'views' END,
    CASE WHEN EXISTS (SELECT FROM kpi_admin.erased_event) THEN 'a contact that was forgotten' END),
    coalesce((SELECT max(changed_at) FROM kpi_admin.changed), '-infinity')
        < now() - %(minutes)s * interval '1 minute'
FROM kpi_admin.state
"""
# What only is told: how the last load went, and what could be safer.
NOTES = """
SELECT 'the last load ended ' || date_trunc('second', now() - r.ended_at) || ' ago and took ' || r.taken
FROM kpi_admin.load_run AS r WHERE r.ended_at IS NOT NULL
    AND r.run_no = (SELECT max(run_no) FROM kpi_admin.load_run)
UNION ALL
SELECT format('the owner %%s is a superuser, which it need not be', r.rolname)
FROM pg_catalog.pg_roles AS r JOIN pg_catalog.pg_namespace AS n ON n.nspowner = r.oid
WHERE n.nspname = 'kpi_admin' AND r.rolsuper
UNION ALL
-- A database made from a template, or restored, has its own rights again.
SELECT 'readers may make temporary objects, which nothing needs: chatkpi init takes that from them'
WHERE has_database_privilege('kpi_reader', current_database(), 'TEMPORARY')
UNION ALL
SELECT format('of the reports of the last week %%s may not have arrived (handed over and not answered), %%s were refused',
    count(*) FILTER (WHERE m.refused IS NULL), count(m.refused)) || coalesce(': ' || max(m.refused), '')
FROM kpi_admin.report_mail AS m
WHERE m.accepted_at IS NULL AND m.handed_over_at BETWEEN now() - interval '7 days' AND now() - interval '10 minutes'
HAVING count(*) > 0
UNION ALL
SELECT format('%%s reports wait for a token %%s that sees their tenant', count(*), s.token_name)
FROM kpi_admin.report_subscription AS s WHERE NOT kpi_admin.token_sees(s.token_name, s.tenant_no)
GROUP BY s.token_name
UNION ALL
SELECT 'a reader holds the view of ' || kpi_id || ', which shows the numbers of before'
FROM kpi_admin.kpi WHERE view_due
"""
OBJECTS = """
SELECT format('%%s is missing', name)
FROM (
    SELECT 'kpi.' || kpi_id FROM kpi_admin.kpi
    UNION ALL SELECT 'kpi_hits.' || kpi_id FROM kpi_admin.kpi WHERE fold <> 'ratio'
    UNION ALL SELECT format('kpi_fact.%%I', fact) FROM kpi_admin.fact
    UNION ALL SELECT unnest('{kpi.catalog,kpi.freshness,kpi_admin.day_amount}'::text[])
) AS wanted (name)
WHERE to_regclass(name) IS NULL
UNION ALL
SELECT name || '() is missing'
FROM unnest('{kpi_http.answers,kpi_http.answer_request}'::text[]) AS f (name)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = to_regnamespace(split_part(name, '.', 1))
        AND p.proname = split_part(name, '.', 2)
)
UNION ALL
SELECT format('function kpi.%%s(text, %%s, …) is missing', name, range_type)
FROM unnest('{total,series,distribution,hits}'::text[]) AS f (name), unnest('{timestamptz,date,text}'::regtype[]) AS range_type
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = to_regnamespace('kpi') AND p.proname = name AND p.proargtypes[1] = range_type::oid
)
"""
RIGHTS = """
SELECT format('kpi_reader may not read %%s', c.oid::regclass)
FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'kpi'::regnamespace AND c.relkind = 'v'
    AND NOT has_table_privilege('kpi_reader', c.oid, 'SELECT')
UNION ALL
SELECT format('kpi_reader may not call %%s', p.oid::regprocedure)
FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'kpi'::regnamespace
    AND NOT has_function_privilege('kpi_reader', p.oid, 'EXECUTE')
UNION ALL
SELECT format('%%s may read %%s', r.role, c.oid::regclass)
FROM unnest('{kpi_server,public}'::text[]) AS r (role), pg_catalog.pg_class AS c
WHERE c.relnamespace::regnamespace::text = ANY (%(schemas)s) AND c.relkind IN ('r', 'v', 'm')
    AND has_table_privilege(r.role, c.oid, 'SELECT')
UNION ALL
SELECT format('%%s may read %%s', 'kpi_reader', c.oid::regclass)
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace::regnamespace::text = ANY (%(schemas)s) AND c.relnamespace <> 'kpi'::regnamespace AND c.relkind IN ('r', 'v', 'm')
    AND has_table_privilege('kpi_reader', c.oid, 'SELECT')
UNION ALL
SELECT format('%%s runs without a search path of its own', p.oid::regprocedure)
FROM pg_catalog.pg_proc AS p WHERE p.pronamespace::regnamespace::text = ANY (%(schemas)s) AND p.prosecdef
    AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(p.proconfig, '{}'))
"""
MIGHTY = """
SELECT format('%%s may do more than read its tenants', r.rolname)
FROM pg_catalog.pg_roles AS r
WHERE (
    r.rolname IN ('kpi_reader', 'kpi_server') OR r.rolname IN (SELECT login FROM kpi_admin.login)
    OR r.oid IN (SELECT m.member FROM pg_catalog.pg_auth_members AS m WHERE m.roleid = 'kpi_reader'::regrole)
) AND r.oid <> (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'kpi_admin') AND (
    r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, 'pg_read_all_data', 'MEMBER')
    OR pg_has_role(r.oid, (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'kpi_admin'), 'MEMBER')
)
"""
LOADS = """
SELECT format('one began at %%s and did not end', date_trunc('second', r.started_at))
FROM kpi_admin.load_run AS r
WHERE r.ended_at IS NULL AND r.run_no = (SELECT max(run_no) FROM kpi_admin.load_run)
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_locks AS l WHERE l.granted AND l.relation = 'kpi_admin.turn_to_load'::regclass
            AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    )
UNION ALL
-- In hours as numbers: before PostgreSQL 17 no interval is infinite.
SELECT coalesce('none has ended for ' || date_trunc('second', now() - max(r.ended_at)), 'none has ended yet')
FROM kpi_admin.load_run AS r
HAVING coalesce(extract(epoch FROM now() - max(r.ended_at)) / 3600, 'infinity'::float) > %(silent)s::float
"""
REPORTS = """
SELECT 'the mail server cannot be used since ' || date_trunc('second', r.failing_since) || ': ' || r.trouble
FROM kpi_admin.report_run AS r WHERE r.failing_since IS NOT NULL
UNION ALL
SELECT CASE WHEN r.ran_at IS NULL THEN 'no reporter has ever looked'
    ELSE 'no reporter has looked for ' || date_trunc('second', now() - r.ran_at) END
FROM kpi_admin.report_run AS r
WHERE coalesce(r.ran_at, '-infinity') < now() - interval '1 hour'
    AND (EXISTS (SELECT FROM kpi_admin.report_subscription) OR EXISTS (SELECT FROM kpi_admin.report_request))
"""
LOADED = """
SELECT format('%%s: %%s loaded, %%s in the facts', t.tenant, coalesce(e.n, 0), coalesce(f.n, 0))
FROM (
    SELECT tenant_no, count(*) AS n FROM kpi_data.event
    WHERE load_no <= (SELECT load_no FROM kpi_admin.state) GROUP BY 1
) AS e
FULL JOIN (SELECT tenant_no, count(*) AS n FROM kpi_fact.event GROUP BY 1) AS f USING (tenant_no)
JOIN kpi_data.tenant_number AS t USING (tenant_no)
WHERE e.n IS DISTINCT FROM f.n ORDER BY t.tenant
"""
STANDING = """
SELECT format('%%s is missing', s.relation) FROM kpi_admin.slice AS s
WHERE to_regclass(format('kpi_slice.%%I', s.relation)) IS NULL
UNION ALL
SELECT format('%%s belongs to no KPI', c.relname) FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = 'kpi_slice'::regnamespace AND c.relkind = 'm'
    AND c.relname NOT IN (SELECT relation FROM kpi_admin.slice)
    AND c.relname NOT IN (SELECT relation FROM kpi_admin.retired_slice)
"""
# The local days of no slice have no hits; each query reads one such stretch.
GAPS = """
SELECT format('%%s has none from %%s to %%s', k.kpi_id, lower(gap), upper(gap)),
    format('SELECT FROM kpi_hits.%%I WHERE local_day >= %%L AND local_day < %%L LIMIT 1', k.kpi_id, lower(gap), upper(gap))
FROM kpi_admin.kpi AS k
CROSS JOIN LATERAL unnest(
    datemultirange(daterange('1999-12-01', '2101-03-01'))
    - coalesce((SELECT range_agg(daterange(s.first, s.last)) FROM kpi_admin.slice AS s WHERE s.kpi_id = k.kpi_id), '{}')
) AS gap
WHERE k.fold <> 'ratio' AND to_regclass(format('kpi_hits.%%I', k.kpi_id)) IS NOT NULL
ORDER BY k.position
"""
SIGNED = """
SELECT concat_ws(' ', tenant_id, day, experience, device)
FROM (
    SELECT tenant_id, day, experience, device, value FROM kpi.sessions
    UNION ALL SELECT tenant_id, day, experience, device, -value FROM kpi.bounces
    UNION ALL SELECT tenant_id, day, experience, device, -value FROM kpi.sessions_with_conversation
) AS signed
GROUP BY tenant_id, day, experience, device
HAVING sum(value) <> 0
"""
PHASES = """
(SELECT concat_ws(' ', tenant_id, day, conversation, 'joined') FROM kpi.after_sales_joined
EXCEPT SELECT concat_ws(' ', tenant_id, day, conversation, 'joined') FROM kpi.after_sales_invited)
UNION ALL
(SELECT concat_ws(' ', tenant_id, day, conversation, 'engaged') FROM kpi.after_sales_engaged
EXCEPT SELECT concat_ws(' ', tenant_id, day, conversation, 'engaged') FROM kpi.after_sales_joined)
"""
CUMULATED = """
SELECT format('%%s: %%s, not %%s', c.kpi_id, p.value, t.value)
FROM kpi.catalog AS c
CROSS JOIN (SELECT kpi_admin.now() - interval '90 days' AS starts, kpi_admin.now() AS ends) AS r
CROSS JOIN LATERAL kpi.total(c.kpi_id, r.starts, r.ends) AS t
CROSS JOIN LATERAL (
    SELECT s.value FROM kpi.series(c.kpi_id, r.starts, r.ends, cumulative => true) AS s ORDER BY s.bucket DESC LIMIT 1
) AS p
WHERE p.value IS DISTINCT FROM t.value
"""
FRESH = """
SELECT m.matviewname, format(
    '(TABLE %%1$s EXCEPT ALL (%%2$s)) UNION ALL ((%%2$s) EXCEPT ALL TABLE %%1$s) LIMIT 1',
    format('kpi_slice.%%I', m.matviewname), rtrim(m.definition, ';'))
FROM pg_catalog.pg_matviews AS m JOIN kpi_admin.slice AS s ON s.relation = m.matviewname
WHERE m.schemaname = 'kpi_slice'
ORDER BY random() LIMIT 100
"""
DAYS = """
SELECT s.relation || ': its days', format(
    '(SELECT tenant_no, day, %%1$s::numeric FROM kpi_slice.%%2$I GROUP BY 1, 2
      EXCEPT SELECT tenant_no, day, %%3$s FROM kpi_admin.day_amount WHERE kpi_id = %%4$L) LIMIT 1',
    CASE WHEN k.entity IS NULL THEN 'sum(amount)' ELSE 'count(DISTINCT entity)' END, s.relation,
    CASE WHEN k.entity IS NULL THEN 'amount' ELSE 'new[cardinality(new)]' END, k.kpi_id)
FROM kpi_admin.slice AS s JOIN kpi_admin.kpi AS k USING (kpi_id)
WHERE k.fold IN ('sum', 'distinct') AND to_regclass(format('kpi_slice.%%I', s.relation)) IS NOT NULL
ORDER BY random() LIMIT 100
"""

CHECKS = (
    Check(
        "definitions",
        """
        SELECT coalesce(i.kpi_id, k.kpi_id) ||
            CASE WHEN k.kpi_id IS NULL THEN ' is not in the database' ELSE ' is not in the package' END
        FROM unnest(%(kpis)s::text[]) AS i (kpi_id) FULL JOIN kpi_admin.kpi AS k USING (kpi_id)
        WHERE i.kpi_id IS NULL OR k.kpi_id IS NULL
        """,
        INIT,
        of_numbers=True,
    ),
    Check("tables, views and functions are there", OBJECTS, INIT_REFRESH, of_numbers=True),
    Check("rights", RIGHTS, f"{INIT} as the owner of the database"),
    Check(
        "logins see their tenants only",
        MIGHTY,
        "give people logins that are in kpi_reader and nothing else",
    ),
    Check(
        "clocks",
        """
        SELECT 'the database is ' || round(extract(epoch FROM clock_timestamp() - %(clock)s::timestamptz))
            || ' s ahead of this machine'
        WHERE abs(extract(epoch FROM clock_timestamp() - %(clock)s::timestamptz)) > 60
        """,
        "set the clocks of both machines",
    ),
    Check(
        "freshness",
        """
        SELECT max(behind)::interval(0) || ' behind' FROM kpi.freshness
        HAVING max(behind) > %(minutes)s * interval '1 minute'
        """,
        f"{REFRESH}, and keep chatkpi refresh --watch 60 running",
    ),
    Check("loads", LOADS, "see to what loads, and run chatkpi load again: nothing counts twice"),
    Check(
        "reports",
        REPORTS,
        "see to the mail server (docs/report.md), and keep chatkpi report --watch running",
    ),
    Check(
        "a token",
        """
        SELECT 'there is no valid one' WHERE NOT EXISTS (
            SELECT FROM kpi_admin.token AS token WHERE kpi_admin.is_in_force(token)
        )
        """,
        "run chatkpi token create",
    ),
    Check(
        "no event is dated in the future",
        """
        SELECT format('%%s of %%s, up to %%s', count(*), t.tenant, max(e.at))
        FROM kpi_data.tenant_number AS t JOIN kpi_fact.event AS e USING (tenant_no)
        WHERE e.at > kpi_admin.now() GROUP BY t.tenant ORDER BY t.tenant
        """,
        "set the clock of what writes them; they count when their time has come",
    ),
    Check("events are as loaded", LOADED, FULL, of_numbers=True),
    Check("slices stand", STANDING, INIT_REFRESH),
    Check("slices hold all months", GAPS, FULL, of_numbers=True),
    Check("bounces + sessions with conversation = sessions", SIGNED, FULL, of_numbers=True),
    Check("after-sales phases: invited >= joined >= engaged", PHASES, FULL, of_numbers=True),
    Check(
        "a cumulated series ends at the total (every KPI, 90 days)",
        CUMULATED,
        FULL,
        of_numbers=True,
    ),
    Check("slices equal a fresh computation (a sample of 100)", FRESH, FULL, of_numbers=True),
    Check("days as folded equal their slices (a sample of 100)", DAYS, FULL, of_numbers=True),
)
