"""What `init` makes of a database that an earlier version set up."""

from typing import Any

import psycopg

from datasource.store.connection import connect
from datasource.store.migrate import init
from tests.agreement import CATALOG
from tests.conftest import Databases

COLUMNS = """
SELECT table_schema, table_name, column_name, data_type, collation_name, column_default, is_nullable
FROM information_schema.columns WHERE table_schema LIKE 'kpi%' ORDER BY 1, 2, 3"""
# Each table's last column, as a later version would add it: rows that are there can go without a value.
LAST = """
SELECT a.attrelid::regclass, quote_ident(a.attname) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relkind = 'r' AND c.relnamespace IN ('kpi_data'::regnamespace, 'kpi_admin'::regnamespace) AND a.attnum = c.relnatts
    AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey))
    AND (NOT a.attnotnull OR a.atthasdef OR c.relnamespace = 'kpi_data'::regnamespace)"""


def columns(connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute(COLUMNS).fetchall()


def test_init_adds_the_columns_that_an_earlier_version_lacked(database: Databases) -> None:
    with connect(database.new_database(), autocommit=True) as connection:
        init(connection, CATALOG)
        wanted = columns(connection)
        last = connection.execute(LAST).fetchall()
        for table, column in last:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column} CASCADE".encode())
        init(connection, CATALOG)
        assert len(last) > 15
        assert columns(connection) == wanted


def test_init_again_changes_no_table(database: Databases) -> None:
    with connect(database.new_database(), autocommit=True) as connection:
        init(connection, CATALOG)
        oids = "SELECT oid::regclass::text, oid FROM pg_class WHERE relnamespace::regnamespace::text LIKE 'kpi%' AND relkind = 'r' ORDER BY 2"
        before = connection.execute(oids).fetchall()
        init(connection, CATALOG)
        assert connection.execute(oids).fetchall() == before
