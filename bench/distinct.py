"""How much faster are distinct totals than COUNT(DISTINCT) over the events with their best index?

The bar is for a tenant's totals together, at 20,000,000 events in a year, so about 5,000,000 in
the 90 days: how long PostgreSQL counts depends on how many events a KPI has, an answer of ours
does not. With few events the call itself costs more than the counting.
"""

from functools import partial
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from bench.place import RANGES, Connection, Place, Row, in_turn, ratio
from datasource import demo
from datasource.store.connection import connect

TOTAL = sql.SQL("SELECT value FROM kpi.total(%s, %s, %s, %s)")
COUNT = sql.SQL(
    "SELECT count(DISTINCT {}) FROM kpi_data.event WHERE tenant_no = {} AND at >= {} AND at < {} AND {}"
)
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
    bars = {tenants[0]: 50, tenants[len(tenants) // 2]: 20}
    taken: dict[str, list[list[float]]] = {tenant: [] for tenant in bars}
    with connect(place.filled(), autocommit=True) as connection:
        for kpi, (column, where) in COUNTED.items():
            index = f"CREATE INDEX ON kpi_data.event (tenant_no, at) INCLUDE ({column})"
            connection.execute(f"{index} WHERE {where}".encode())
            connection.execute("VACUUM (ANALYZE) kpi_data.event")
            for tenant in bars:
                [(number, _, *ends)] = connection.execute(RANGES, [tenant])
                span = ends[2:] if kpi == "mecs" else ends[:2]
                # Literals, as a person writes them: every plan is made for these very values.
                parts = sql.Identifier(column), number, *span, sql.SQL(where)
                ours = partial(_first, connection, TOTAL, [kpi, *span, Jsonb({"tenant": tenant})])
                other = partial(_first, connection, COUNT.format(*parts))
                assert ours() == other(), (kpi, tenant)
                fast, slow = in_turn(25, ours, other)
                taken[tenant].append([fast, slow])
                found.append(ratio(f"{kpi} of {tenant}: {other():,} by both", fast, slow))
    for tenant, bar in bars.items():
        fast, slow = map(sum, zip(*taken[tenant], strict=True))
        found.append(ratio(f"{tenant}: these {len(COUNTED)}", fast, slow, bar))
    return found


def _first(
    connection: Connection, statement: sql.SQL | sql.Composed, asked: list[object] | None = None
) -> Any:
    [(value,)] = connection.execute(statement, asked)
    return value
