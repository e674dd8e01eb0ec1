"""What an SQL login sees is its tenants', whatever it tries."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.agreement import installed
from tests.conftest import Databases
from tests.oracle.random_records import NOW, tenants

Connection = psycopg.Connection[Any]
# Tells each value that a condition is tried on.
WATCHED = """
CREATE OR REPLACE FUNCTION kpi_admin.meets(actual text, condition jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE NOTICE '%', actual; RETURN true; END $$
"""
RECORDS = tenants(41, 3)
TENANTS = sorted({r.get("tenant") or r["id"] for r in RECORDS})
WHOLE = "'2025-01-01', '2027-01-01'"
PASSES = [
    "kpi.hits('messages', {w})",
    "kpi.total('messages', {w}, by => '{{tenant}}')",
    "kpi.messages",
    "kpi.mecs",
    "kpi.nps",
]
PASSES += ["kpi.mecs_potential", "kpi.users_potential", "kpi.active_users", "kpi.sessions"]


@pytest.fixture(scope="module")
def site(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Connection]:
    """The product with three tenants, and two logins: `tied` to the first, `loose` to none."""
    url, owner = installed(database, RECORDS, tmp_path_factory.mktemp("tenancy"), NOW.isoformat())
    owner.execute("RESET kpi.now")  # logins have the clock's, and are compared with the owner
    for login in ("tied", "loose"):
        name = login_name(login, url)
        owner.execute(
            sql.SQL("CREATE ROLE {} LOGIN IN ROLE kpi_reader").format(sql.Identifier(name))
        )
        # Readers may make no temporary objects; here they may, to see that it does not help.
        owner.execute(
            sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(
                sql.Identifier(owner.info.dbname), sql.Identifier(name)
            )
        )
    owner.execute(
        "INSERT INTO kpi_admin.login VALUES (%s, %s)", [login_name("tied", url), TENANTS[0]]
    )
    return url, owner


def login_name(login: str, url: str) -> str:
    """Roles are the whole server's, so each database here has its own."""
    return login + "_" + url.split("/test_")[1][:20]


@pytest.fixture
def tied(site: tuple[str, Connection]) -> Iterator[Connection]:
    with psycopg.connect(site[0], user=login_name("tied", site[0]), autocommit=True) as connection:
        yield connection


@pytest.fixture
def loose(site: tuple[str, Connection]) -> Iterator[Connection]:
    with psycopg.connect(site[0], user=login_name("loose", site[0]), autocommit=True) as connection:
        yield connection


def tenants_in(connection: Connection, relation: str) -> set[str]:
    """The tenants named by the rows of a view or function."""
    rows = connection.execute(
        f"SELECT to_jsonb(r) FROM {relation.format(w=WHOLE)} AS r".encode()
    ).fetchall()
    return {row.get("tenant_id") or row["dims"]["tenant"] for (row,) in rows}


@pytest.mark.parametrize("relation", PASSES)
def test_a_login_sees_its_tenant_only(
    relation: str, tied: Connection, loose: Connection, site: tuple[str, Connection]
) -> None:
    assert tenants_in(tied, relation) <= {TENANTS[0]}
    assert tenants_in(loose, relation) == set()
    assert len(tenants_in(site[1], relation)) > 1


def test_it_sees_all_of_its_tenant(tied: Connection, site: tuple[str, Connection]) -> None:
    question = (
        f"SELECT value FROM kpi.total('messages', {WHOLE}, jsonb_build_object('tenant', %s::text))"
    )
    seen = tied.execute(question.encode(), [TENANTS[0]]).fetchone()
    assert seen == site[1].execute(question.encode(), [TENANTS[0]]).fetchone()
    assert seen and seen[0] > 0


@pytest.mark.parametrize(
    "attempt",
    [
        "SET kpi.tenants = '[\"{other}\"]'",
        "SELECT set_config('kpi.tenants', '[\"{other}\"]', false)",
        "SET search_path = pg_temp, kpi, kpi_admin, kpi_data",
        "SET SESSION AUTHORIZATION DEFAULT",
        "SET row_security = off",
        "SET ROLE kpi_reader",
        "CREATE TEMP TABLE tenant_number AS SELECT 1 AS tenant_no, '{other}'::text AS tenant",
        "CREATE TEMP TABLE login AS SELECT session_user AS login, '{other}'::text AS tenant_id",
    ],
)
def test_settings_do_not_help(attempt: str, tied: Connection) -> None:
    tied.execute(attempt.format(other=TENANTS[1].replace("'", "''")).encode())
    for relation in PASSES:
        assert tenants_in(tied, relation) <= {TENANTS[0]}, attempt
    other = tied.execute(
        f"SELECT value FROM kpi.total('messages', {WHOLE}, jsonb_build_object('tenant', %s::text))".encode(),
        [TENANTS[1]],
    ).fetchone()
    assert other == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE kpi_server",
        "SET SESSION AUTHORIZATION kpi_server",
        "SELECT * FROM kpi_data.event",
        "SELECT * FROM kpi_fact.session",
        "SELECT * FROM kpi_hits.messages",
        "SELECT * FROM kpi_slice.{slice}",
        "SELECT * FROM kpi_admin.login",
        "INSERT INTO kpi_admin.login VALUES (session_user, '{other}')",
        "SELECT kpi_admin.visible_tenants()",
        "SELECT * FROM kpi_admin.month_values('mecs_potential')",
        "SELECT * FROM kpi_admin.answer('messages', 'total', '2025-01-01', '2026-01-01', null, '{{}}', '{{}}', null)",
        "UPDATE kpi.messages SET value = 0",
        "CREATE TABLE kpi.mine ()",
        "REFRESH MATERIALIZED VIEW kpi_slice.{slice}",
        "COPY kpi_data.event TO STDOUT",
        "CREATE FUNCTION kpi.leak() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_nothing_else_is_allowed(
    statement: str, tied: Connection, site: tuple[str, Connection]
) -> None:
    row = site[1].execute("SELECT relation FROM kpi_admin.slice LIMIT 1").fetchone()
    assert row
    with pytest.raises(
        (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.FeatureNotSupported,
            psycopg.errors.ObjectNotInPrerequisiteState,
        )
    ):
        tied.execute(statement.format(slice=row[0], other=TENANTS[1].replace("'", "''")).encode())


def test_a_leaky_function_in_a_filter_sees_nothing_of_others(tied: Connection) -> None:
    tied.execute(
        "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS "
        "$$BEGIN RAISE NOTICE 'seen %', $1; RETURN true; END$$"
    )
    seen: list[str] = []
    tied.add_notice_handler(lambda notice: seen.append(str(notice.message_primary)))
    tied.execute("SELECT count(*) FROM kpi.messages WHERE pg_temp.leak(tenant_id)")
    assert seen and set(seen) == {f"seen {TENANTS[0]}"}


def test_a_reader_cannot_move_now(tied: Connection, site: tuple[str, Connection]) -> None:
    tied.execute("SET kpi.now = '2001-01-01T00:00:00Z'")
    question = f"SELECT value FROM kpi.total('messages', {WHOLE})"
    seen = tied.execute(question.encode()).fetchone()
    assert seen and seen[0] > 0


@pytest.mark.parametrize("way", ["seqscan", "indexscan", "nestloop", "hashjoin"])
def test_how_often_tables_are_read_tells_of_no_other_id(
    way: str, tied: Connection, site: tuple[str, Connection]
) -> None:
    site[1].execute(
        "INSERT INTO kpi_fact.contact (tenant_no, contact) "
        "SELECT tenant_no, 'theirs' FROM kpi_data.tenant_number WHERE tenant = %s "
        "ON CONFLICT DO NOTHING",
        [TENANTS[1]],
    )
    tied.execute(f"SET enable_{way} = off".encode())

    def told(view: str, column: str, value: str) -> str:
        explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF)"
        quoted = sql.Literal(value).as_string(tied)
        rows = tied.execute(f"{explain} SELECT * FROM {view} WHERE {column} = {quoted}".encode())
        return "\n".join(line for (line,) in rows).replace(quoted, "it")

    assert told("kpi.sessions", "tenant_id", TENANTS[1]) == told(
        "kpi.sessions", "tenant_id", "nobodys"
    )
    assert told("kpi.mecs", "contact", "theirs") == told("kpi.mecs", "contact", "nobodys")


@pytest.mark.parametrize("way", ["seqscan", "indexscan", "nestloop", "hashjoin"])
def test_a_regular_expression_is_tried_on_no_row_of_others(
    way: str, site: tuple[str, Connection]
) -> None:
    """One that is slow where it matches would tell, by its time, what others' rows hold."""
    owner, tried = site[1], list[str]()
    owner.add_notice_handler(lambda notice: tried.append(notice.message_primary or ""))
    with owner.transaction(force_rollback=True):
        for other in ("bitmapscan", "indexonlyscan", way):
            owner.execute(f"SET LOCAL enable_{other} = off".encode())
        owner.execute(WATCHED)
        owner.execute("INSERT INTO kpi_data.tenant_number (tenant) VALUES ('empty')")
        for tenant, is_any in (("empty", False), (TENANTS[0], True)):
            filters = {"tenant": tenant, "experience": {"op": "=~", "values": ["x"]}}
            for asked in (
                f"kpi.total('chat_starts', {WHOLE}, %s)",
                f"kpi.total('bounce_rate', {WHOLE}, %s)",
                f"kpi.hits('chat_starts', {WHOLE}, %s)",
                "kpi_http.occurring('experience', kpi_admin.conditions(%s))",
            ):
                tried.clear()
                owner.execute(f"SELECT count(*) FROM {asked}".encode(), [Jsonb(filters)])
                assert bool(tried) == is_any, asked
