"""How much faster are distinct totals than COUNT(DISTINCT) over the events with their best index?"""

from functools import partial
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from bench.place import RANGES, Connection, Place, Row, faster
from datasource import demo
from datasource.store.connection import connect

TOTAL = sql.SQL("SELECT value FROM kpi.total(%s, %s, %s, %s)")
COUNT = sql.SQL("SELECT count(DISTINCT {}) FROM kpi_data.event WHERE tenant_no = {} AND at >= {} AND at < {} AND {}")
# What is counted, of which events.
COUNTED = {
    "active_conversations": ("conversation", "type = 'message' AND conversation IS NOT NULL"),
    "module_visitors": ("contact", "type = 'module_visit'"),
    "participants": ("contact", "type = 'participation'"),
    "mecs": ("contact", "type = 'message' AND sender = 'contact' AND conversation IS NOT NULL"),
}


def run(place: Place) -> list[Row]:
    """Ask for 90 days (mecs: three months) of the largest and of a median tenant."""
    tenants, found = demo.tenants(), []
    with connect(place.filled(), autocommit=True) as connection:
        for kpi, (column, where) in COUNTED.items():
            index = f"CREATE INDEX ON kpi_data.event (tenant_no, at) INCLUDE ({column})"
            connection.execute(f"{index} WHERE {where}".encode())
            connection.execute("VACUUM (ANALYZE) kpi_data.event")
            for tenant, bar in ((tenants[0], 50), (tenants[len(tenants) // 2], 20)):
                [(number, _, *ends)] = connection.execute(RANGES, [tenant])
                span = ends[2:] if kpi == "mecs" else ends[:2]
                # Literals, as a person writes them: every plan is made for these very values.
                parts = sql.Identifier(column), number, *span, sql.SQL(where)
                ours = partial(_first, connection, TOTAL, [kpi, *span, Jsonb({"tenant": tenant})])
                other = partial(_first, connection, COUNT.format(*parts))
                assert ours() == other(), (kpi, tenant)
                found.append(faster(f"{kpi} of {tenant}: {other():,} by both", ours, other, bar))
    return found


def _first(connection: Connection, statement: sql.SQL | sql.Composed, asked: list[object] | None = None) -> Any:
    [(value,)] = connection.execute(statement, asked)
    return value
