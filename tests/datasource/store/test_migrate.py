"""What `init` makes of a database that an earlier version set up."""

from pathlib import Path
from typing import Any

import psycopg

from datasource.store.connection import connect
from datasource.store.migrate import init
from tests.agreement import CATALOG
from tests.conftest import Databases

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
