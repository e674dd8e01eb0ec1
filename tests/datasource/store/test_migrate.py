"""What `init` makes of a database that an earlier version set up."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from datasource.store import turns
from datasource.store.connection import connect
from datasource.store.errors import StoreError
from datasource.store.migrate import init
from tests.agreement import CATALOG
from tests.conftest import Databases, as_superuser

COLUMNS = """
SELECT table_schema, table_name, column_name, data_type, collation_name, column_default, is_nullable
FROM information_schema.columns WHERE table_schema LIKE 'kpi%' ORDER BY 1, 2, 3"""
BEFORE = Path(__file__).parents[2] / "fixtures" / "tables_before_migrations.sql"


def columns(connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute(COLUMNS).fetchall()


def test_an_old_database_has_the_columns_of_a_new_one(database: Databases) -> None:
    """Whoever adds a column to a table of views/schema/ adds a migration too."""
    with connect(database.new_database(), autocommit=True) as connection:
        init(connection, CATALOG)
        wanted = columns(connection)
    with connect(database.new_database(), autocommit=True) as connection:
        connection.execute(BEFORE.read_bytes())
        for _ in range(2):
            init(connection, CATALOG)
            assert columns(connection) == wanted


def test_init_again_changes_no_table(database: Databases) -> None:
    with connect(database.new_database(), autocommit=True) as connection:
        init(connection, CATALOG)
        oids = "SELECT oid::regclass::text, oid FROM pg_class WHERE relnamespace::regnamespace::text LIKE 'kpi%' AND relkind = 'r' ORDER BY 2"
        before = connection.execute(oids).fetchall()
        init(connection, CATALOG)
        assert connection.execute(oids).fetchall() == before


@pytest.fixture(scope="module")
def shared(database: Databases) -> tuple[str, psycopg.Connection[Any]]:
    """The product, a connection of the owner, and a reader's login called as the database."""
    url = database.new_database()
    connection = connect(url, autocommit=True)
    init(connection, CATALOG)
    connection.execute(f'CREATE ROLE "{connection.info.dbname[:30]}" LOGIN IN ROLE kpi_reader')
    return url, connection


def test_init_again_waits_for_no_reader(shared: tuple[str, psycopg.Connection[Any]]) -> None:
    url, connection = shared
    with psycopg.connect(url, user=connection.info.dbname[:30]) as idle:
        for view in ("freshness", "catalog", "messages"):
            idle.execute(f"SELECT count(*) FROM kpi.{view}".encode())  # and its transaction goes on
        connection.execute("SET statement_timeout = '20s'")
        init(connection, CATALOG)


def test_init_says_who_holds_what_it_has_to_change(
    shared: tuple[str, psycopg.Connection[Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, connection = shared
    connection.execute("UPDATE kpi_admin.made_view SET definition = gen_random_uuid()")
    monkeypatch.setattr(turns, "ATTEMPTS", 2)
    with psycopg.connect(url, user=connection.info.dbname[:30], application_name="report") as idle:
        idle.execute("SELECT count(*) FROM kpi.freshness")
        who = f"pid {idle.info.backend_pid} (login {connection.info.dbname[:30]}, application report, since 2"
        with pytest.raises(StoreError, match="are held by pid") as caught:
            init(connection, CATALOG)
        assert who in str(caught.value) and "pg_terminate_backend" in caught.value.hint
        assert f"chatkpi: waiting for {who}" in capsys.readouterr().err
        asked = connection.execute("SELECT count(*) FROM kpi.freshness").fetchone()
        assert asked is not None, "others do not queue behind it"
    init(connection, CATALOG)
    assert connection.execute("SELECT count(*) > 0 FROM kpi.freshness").fetchone() == (True,)


def test_a_stranger_s_schema_is_not_taken_for_ours(database: Databases) -> None:
    connection = connect(database.new_database(), autocommit=True)
    name = connection.info.dbname[:30]
    connection.execute(f'CREATE ROLE "{name}" LOGIN')
    connection.execute(f'GRANT CREATE ON DATABASE "{connection.info.dbname}" TO "{name}"')
    with psycopg.connect(connection.info.dsn, user=name, autocommit=True) as mallory:
        mallory.execute("CREATE SCHEMA kpi_data")
    with pytest.raises(StoreError, match=f"kpi_data to {name}"):
        init(connection, CATALOG)


def test_a_superuser_makes_it_the_owner_s(database: Databases) -> None:
    url = database.new_database()
    with connect(as_superuser(url)) as superuser:
        init(superuser, CATALOG)
        owners = (
            "SELECT DISTINCT nspowner::regrole::text FROM pg_namespace WHERE nspname LIKE 'kpi%'"
        )
        assert superuser.execute(owners).fetchall() == [("chatkpi",)]
    with connect(url) as owner:
        init(owner, CATALOG)


def test_readers_may_make_nothing(shared: tuple[str, psycopg.Connection[Any]]) -> None:
    url, connection = shared
    for login in (connection.info.dbname[:30], "kpi_server"):
        with psycopg.connect(url, user=login, autocommit=True) as reader:
            for statement in (
                "CREATE TEMP TABLE t ()",
                "CREATE TABLE public.t ()",
                "CREATE SCHEMA s",
                "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "DO $$BEGIN LOCK TABLE kpi_admin.turn_to_refresh IN ACCESS SHARE MODE; END$$",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(statement)


def test_the_server_s_login_reads_nothing_by_itself(
    shared: tuple[str, psycopg.Connection[Any]],
) -> None:
    url, connection = shared
    connection.execute("GRANT kpi_reader TO kpi_server")  # as an earlier version had it
    init(connection, CATALOG)
    views = connection.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'kpi'::regnamespace"
    )
    asked = [f"SELECT * FROM {view}" for (view,) in views.fetchall()]
    asked += [
        "SELECT * FROM kpi.total('messages', '2026-01-01', '2026-02-01')",
        "TABLE kpi_admin.token",
    ]
    with psycopg.connect(url, user="kpi_server", autocommit=True) as server:
        server.execute("SET kpi.tenants = '[\"a\"]'; SET kpi.every_tenant = 'true'")
        for statement in asked:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                server.execute(statement.encode())
        with pytest.raises(psycopg.Error, match="The token is not valid"):
            server.execute("SELECT kpi_http.answer_request('x', 'tag_keys', '{}')")
