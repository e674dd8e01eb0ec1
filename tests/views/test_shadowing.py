"""No object that a reader can make is ever taken for one of PostgreSQL's or of the product's.

A login makes temporary tables, views and types, and in a schema of its own functions, operators
and all of these, under every name of the system's and of the product's. Each of them tells when
it runs with the rights of another than the login. Then the login makes every call that it has.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from datasource.cli import main
from tests.agreement import installed
from tests.conftest import Databases
from tests.datasource.protocol.conftest import RECORDS

Connection = psycopg.Connection[Any]
NOW = "2026-05-01T00:00:00Z"
ASKED = ["kpi", "messages", "--from", "2026-03-01", "--to", "2026-04-01"]
POTENTIAL = {"type": "potential", "month": "2026-02", "website_visitors": 9, "sales_advisors": 3}
SAFE_PATH = "search_path=pg_catalog, pg_temp"
# One of each way of counting.
KPIS = ("messages", "mecs", "nps", "users_potential", "chats_benchmark", "new_customers")
# Values of the parameters of kpi's functions, by type, and by name where that says more.
VALUES = {
    "timestamp with time zone": (
        "'2026-02-01 00:00Z'::pg_catalog.timestamptz",
        "'2026-04-01 00:00Z'::pg_catalog.timestamptz",
    ),
    "date": ("'2026-02-01'::pg_catalog.date", "'2026-04-01'::pg_catalog.date"),
    "text": ("'2026-02-01'::pg_catalog.text", "'2026-04-01'::pg_catalog.text"),
}
NAMED = {
    "bucket": "'week'",
    "filters": "'{}'",
    "by": "'{tenant}'",
    "granularity": "'day'",
    "cumulative": "true",
}
FUNCTIONS = """
SELECT p.oid::regproc::text, coalesce(p.proargnames[:p.pronargs], '{}'),
    ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, i) ORDER BY i)
FROM pg_proc AS p
WHERE p.pronamespace = 'kpi'::regnamespace AND p.prokind = 'f' AND has_function_privilege(p.oid, 'EXECUTE')
ORDER BY 1, 3
"""
TRAP = """
CREATE FUNCTION {schema}.sprung(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF {always} THEN
        RAISE EXCEPTION 'sprung: % as %', what, current_user;
    ELSIF current_user <> session_user THEN
        RAISE NOTICE 'sprung: % as %', what, current_user;
    END IF;
    RETURN true;
END
$$
"""
# The statements that shadow everything; {s} is the schema.
SHADOWS = """
SELECT format('CREATE VIEW {s}.%1$I AS SELECT * FROM pg_catalog.%1$I WHERE {s}.sprung(%1$L)', relname)
FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
UNION ALL
SELECT format('CREATE TABLE {s}.%I (tenant_no int, tenant text, login name, tenant_id text)', relname)
FROM pg_class WHERE relkind IN ('r', 'v', 'm') AND relnamespace::regnamespace::text ~ '^kpi'
    AND relnamespace::regnamespace::text NOT IN ('kpi_slice', 'kpi_hits')
UNION ALL
SELECT format('CREATE DOMAIN {s}.%1$I AS pg_catalog.%1$I CHECK ({s}.sprung(%1$L))', typname)
FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r') AND typcategory <> 'A'
UNION ALL
SELECT format('CREATE FUNCTION {s}.%I(%s) RETURNS %s LANGUAGE plpgsql AS $$BEGIN PERFORM {s}.sprung(%L); RETURN NULL; END$$',
    p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid), p.proname)
FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.proallargtypes IS NULL
    AND NOT EXISTS (
        SELECT FROM pg_type AS t WHERE t.typtype = 'p' AND (t.oid = p.prorettype OR t.oid = ANY (p.proargtypes))
    )
UNION ALL
SELECT format('CREATE FUNCTION {s}.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $$BEGIN PERFORM {s}.sprung(%L); RETURN NULL; END$$;'
    'CREATE OPERATOR {s}.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = {s}.operator_%s)',
    o.oid, oprleft::regtype, oprright::regtype, oprresult::regtype, oprname, oprname, oprleft::regtype, oprright::regtype, o.oid)
FROM pg_operator AS o WHERE oprkind = 'b' AND oprnamespace = 'pg_catalog'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_type AS t WHERE t.oid IN (oprleft, oprright, oprresult) AND t.typtype = 'p')
"""
# Operators on two types that PostgreSQL has none for: with it, one of the two is converted first.
MIXED = """
SELECT format('CREATE FUNCTION {s}.mixed_%s_%s_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $$BEGIN PERFORM {s}.sprung(%L); RETURN NULL; END$$;'
    'CREATE OPERATOR {s}.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = {s}.mixed_%s_%s_%s)',
    n, a.i, b.i, a.t, b.t, result, o, o, a.t, b.t, n, a.i, b.i)
FROM unnest('{{integer,bigint,numeric,smallint,text,name,varchar,date,timestamptz,jsonb,text[],name[]}}'::text[]) WITH ORDINALITY AS a (t, i),
    unnest('{{integer,bigint,numeric,smallint,text,name,varchar,date,timestamptz,jsonb,text[],name[]}}'::text[]) WITH ORDINALITY AS b (t, i),
    unnest('{{=,<>,<,>,<=,>=,+,-,*,/,||}}'::text[], '{{boolean,boolean,boolean,boolean,boolean,boolean,numeric,numeric,numeric,numeric,text}}'::text[])
        WITH ORDINALITY AS c (o, result, n)
WHERE a.t <> b.t
"""
MAKE = """
DO $make$
DECLARE
    statements text[] := ARRAY({shadows});
    statement text;
    made integer := 0;
BEGIN
    FOREACH statement IN ARRAY statements LOOP
        BEGIN
            EXECUTE statement;
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN  -- a view on a table that the login may not read, say
        END;
    END LOOP;
    PERFORM set_config('test.made', made::text, false);
END
$make$
"""


@pytest.fixture(scope="module")
def site(
    database: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Connection]]:
    """The product with two tenants; a login tied to the first that may make temporary objects."""
    url, owner = installed(
        database, [*RECORDS, POTENTIAL | {"tenant": "a"}], tmp_path_factory.mktemp("shadow"), NOW
    )
    name = owner.info.dbname[:30]
    login, base = sql.Identifier(name), sql.Identifier(owner.info.dbname)
    owner.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE kpi_reader").format(login))
    owner.execute(sql.SQL("GRANT TEMPORARY, CREATE ON DATABASE {} TO {}").format(base, login))
    owner.execute("INSERT INTO kpi_admin.login VALUES (%s, 'a')", [name])
    yield url, owner
    owner.close()


def shadow(connection: Connection, schema: str, *, always: bool = False) -> None:
    """Shadow everything in a schema that the login may create in; `always`: nobody may run a trap."""
    connection.execute(TRAP.format(schema=schema, always=str(always).lower()).encode())
    connection.execute(
        MAKE.format(shadows=f"{SHADOWS} UNION ALL {MIXED}".format(s=schema)).encode()
    )
    made = connection.execute("SELECT current_setting('test.made')::integer").fetchone()
    assert made and made[0] > 2000


def calls(connection: Connection) -> list[str]:
    """Every call that a reader has: each function with each kind of KPI, each view."""
    found = []
    for function, names, types in connection.execute(FUNCTIONS).fetchall():
        for kpi_id in KPIS:
            ends = {kind: iter(pair) for kind, pair in VALUES.items()}
            values = []
            for name, kind in zip(names, types, strict=True):
                if name == "kpi_id":
                    values.append(f"'{kpi_id}'")
                else:
                    values.append(NAMED.get(name) or next(ends[kind]))
            found.append(f"{function}({', '.join(values)})")
    views = connection.execute(
        "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'kpi'::regnamespace AND relkind = 'v' ORDER BY 1"
    )
    return found + [f"kpi.{view}" for (view,) in views.fetchall()]


def answers(connection: Connection, asked: list[str]) -> list[Any]:
    """What the calls give; the code of the error when they are refused."""
    found: list[Any] = []
    for call in asked:
        try:
            with connection.transaction():
                rows = connection.execute(f"SELECT * FROM {call}".encode()).fetchall()
                # `behind` grows by itself.
                found.append(len(rows) if "freshness" in call else rows)
        except psycopg.Error as error:
            found.append(error.sqlstate)
    return found


def test_every_function_that_readers_reach_sets_its_search_path(
    site: tuple[str, Connection],
) -> None:
    found = (
        site[1]
        .execute(
            """
        SELECT p.oid::regprocedure::text, p.prosecdef, coalesce(p.proconfig, '{}'),
            ARRAY(
                SELECT r FROM unnest('{public,kpi_reader,kpi_server}'::text[]) AS r
                WHERE has_function_privilege(r, p.oid, 'EXECUTE')
            )
        FROM pg_proc AS p WHERE p.pronamespace::regnamespace::text LIKE 'kpi%'
        """
        )
        .fetchall()
    )
    assert len(found) > 50 and sum(definer for _, definer, _, _ in found) > 10
    for function, definer, settings, callers in found:
        if definer or callers:
            assert SAFE_PATH in settings, (function, callers)
        assert all(s == SAFE_PATH for s in settings if s.startswith("search_path")), function


def test_no_function_runs_with_a_superusers_rights(site: tuple[str, Connection]) -> None:
    owners = (
        site[1]
        .execute(
            "SELECT DISTINCT r.rolsuper FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner "
            "WHERE p.pronamespace::regnamespace::text LIKE 'kpi%' AND p.prosecdef"
        )
        .fetchall()
    )
    assert owners == [(False,)]


@pytest.mark.parametrize("schema", ["pg_temp", "mine"])
def test_a_readers_objects_are_never_taken_for_others(
    schema: str, site: tuple[str, Connection]
) -> None:
    told: list[str] = []
    with psycopg.connect(site[0], user=site[1].info.dbname[:30], autocommit=True) as reader:
        asked = calls(reader)
        before = answers(reader, asked)
        assert sum(isinstance(answer, list) for answer in before) > len(before) / 2
        if schema != "pg_temp":
            reader.execute(f"CREATE SCHEMA {schema}".encode())
        shadow(reader, schema)
        reader.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
        for path in (f"{schema}, pg_catalog", "pg_catalog", f"kpi, {schema}, public, pg_temp"):
            reader.execute(f"SET search_path = {path}".encode())
            assert answers(reader, asked) == before
    assert not [words for words in told if words.startswith("sprung")]


def test_the_owners_commands_run_nobodys_code(
    site: tuple[str, Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Default search paths begin with a schema named as the login, then `public`."""
    url, owner = site
    schemas = ("chatkpi", "public")
    owner.execute(f'GRANT CREATE ON SCHEMA public TO "{owner.info.dbname[:30]}"'.encode())
    with psycopg.connect(url, user=owner.info.dbname[:30], autocommit=True) as mallory:
        mallory.execute("CREATE SCHEMA chatkpi")
        for schema in schemas:
            mallory.execute(f"GRANT USAGE ON SCHEMA {schema} TO PUBLIC".encode())
            shadow(mallory, schema, always=True)
        try:
            monkeypatch.setenv("DATABASE_URL", url)
            file = tmp_path / "again.ndjson"
            file.write_text(json.dumps({**RECORDS[-1], "id": "late"}) + "\n")
            for command in ("init", f"load {file}", "refresh", "refresh --full", "token list"):
                assert main(command.split()) == 0, command
            assert main([*ASKED, "--where", "tenant=a"]) == 0
            assert main(["check"]) in (0, 1)
        finally:
            for schema in schemas:
                mallory.execute(f"DROP FUNCTION {schema}.sprung CASCADE".encode())


def test_the_trap_tells_when_it_is_sprung(site: tuple[str, Connection]) -> None:
    """The tests above would notice: a function of the owner's without a path of its own is caught."""
    login = site[1].info.dbname[:30]
    told: list[str] = []
    site[1].execute(
        "CREATE FUNCTION kpi.careless() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
        "AS 'SELECT count(*) FROM pg_roles'; GRANT EXECUTE ON FUNCTION kpi.careless() TO PUBLIC"
    )
    try:
        with psycopg.connect(site[0], user=login, autocommit=True) as reader:
            reader.execute(TRAP.format(schema="pg_temp", always="false").encode())
            reader.execute(
                "CREATE TEMP VIEW pg_roles AS SELECT * FROM pg_catalog.pg_roles WHERE pg_temp.sprung('pg_roles');"
                "GRANT ALL ON pg_roles TO PUBLIC"
            )
            reader.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
            reader.execute("SELECT kpi.careless()")
    finally:
        site[1].execute("DROP FUNCTION kpi.careless")
    assert any(words.startswith("sprung: pg_roles as") for words in told)
