"""The materialized views: a KPI's rows in slices of local months or years.

A slice is never changed. A refresh builds the slices that are out of date under new names and
points kpi_admin.slice at them in the same transaction; queries find names there, so they see
all of a refresh or nothing of it, and never wait. What nothing points to is dropped later.
"""

from collections.abc import Iterable
from datetime import date

import psycopg
from psycopg.rows import TupleRow

from datasource.compile import Compiled, public_view, quote, slice_select
from datasource.store.connection import Connection

# From so many members of a tenant in a slice, and in a chunk on average, bitmaps are faster than lists.
LARGE, CROWD = 100, 2
DAY_AMOUNT = """
INSERT INTO kpi_admin.day_amount SELECT %(kpi_id)s, tenant_no, day, {amount} FROM {slice} GROUP BY tenant_no, day"""
DAY_MEMBERS = """
WITH days AS MATERIALIZED (
    SELECT DISTINCT tenant_no, day, entity >> 11 AS chunk, entity FROM {slice}
), crowded AS MATERIALIZED (
    SELECT tenant_no FROM (SELECT tenant_no, count(*) AS n FROM days GROUP BY tenant_no, day, chunk) AS chunks
    GROUP BY tenant_no HAVING sum(n) >= %(large)s AND avg(n) >= %(crowd)s
), bitmaps AS MATERIALIZED (
    SELECT tenant_no, day, chunk, bit_or(set_bit(repeat('0', 2048)::bit(2048), entity & 2047, 1)) AS members
    FROM days WHERE tenant_no IN (SELECT tenant_no FROM crowded) GROUP BY tenant_no, day, chunk
), lists AS MATERIALIZED (
    SELECT tenant_no, day, entity FROM days WHERE tenant_no NOT IN (SELECT tenant_no FROM crowded)
), noted AS (
    UPDATE kpi_admin.slice SET crowded = ARRAY(SELECT tenant_no FROM crowded) WHERE kpi_id = %(kpi_id)s AND first = %(first)s
)
INSERT INTO kpi_admin.day_members
SELECT %(kpi_id)s, tenant_no, false, day, chunk, NULL::integer[], members FROM bitmaps
UNION ALL
SELECT %(kpi_id)s, tenant_no, true, %(first)s, chunk, NULL, bit_or(members) FROM bitmaps GROUP BY tenant_no, chunk
UNION ALL
SELECT %(kpi_id)s, tenant_no, false, day, -1, array_agg(entity), NULL FROM lists GROUP BY tenant_no, day
UNION ALL
SELECT %(kpi_id)s, tenant_no, true, %(first)s, -1, array_agg(DISTINCT entity), NULL FROM lists GROUP BY tenant_no"""
ALL_TIME = (date(2000, 1, 1), date(2101, 2, 1))
KEEP_RETIRED = "2 minutes"  # longer than any statement may run
AT_ONCE = 40  # drops of a transaction: each commit waits for the disk, each drop holds some locks


def rebuild(connection: Connection, compiled: Compiled, months: Iterable[date], generation: int) -> int:
    """Builds a KPI's slices that hold any of the given local months; returns how many."""
    kpi_id = compiled.kpi.kpi_id
    standing = connection.execute("SELECT first, last FROM kpi_admin.slice WHERE kpi_id = %s", [kpi_id]).fetchall()
    spans = sorted({_span(compiled, month, standing) for month in months})
    for first, last in spans:
        forget(connection, kpi_id, first, last)
        _build(connection, compiled, first, last, generation)
    return len(spans)


def forget(connection: Connection, kpi_id: str, first: date = date.min, last: date = date.max) -> None:
    """Retires a KPI's slices that lie within [first, last)."""
    asked = [kpi_id, first, last]
    connection.execute(
        "WITH old AS (DELETE FROM kpi_admin.slice WHERE kpi_id = %s AND first >= %s AND last <= %s RETURNING relation) "
        "INSERT INTO kpi_admin.retired_slice SELECT relation FROM old",
        asked,
    )
    for table in ("day_amount", "day_members"):
        statement = f"DELETE FROM kpi_admin.{table} WHERE kpi_id = %s AND day >= %s AND day < %s"
        connection.execute(statement.encode(), asked)


def _span(compiled: Compiled, month: date, standing: list[TupleRow]) -> tuple[date, date]:
    """The slice that a month belongs to: one that stands, else a year that is closed, else the month."""
    if compiled.fold in ("value", "level"):
        return ALL_TIME
    for first, last in standing:
        if first <= month < last:
            return first, last
    year = date(month.year, 1, 1), date(month.year + 1, 1, 1)
    if month.year < date.today().year - 1 and not any(first.year == month.year for first, _ in standing):
        return year
    return month, date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _build(connection: Connection, compiled: Compiled, first: date, last: date, generation: int) -> None:
    kpi_id = compiled.kpi.kpi_id
    relation = f"{kpi_id}_{first:%Y_%m}_{generation}"
    name = f"kpi_slice.{quote(relation)}"
    select = slice_select(compiled, first, last)
    connection.execute(f"CREATE MATERIALIZED VIEW {name} AS {select}".encode())
    [(rows, newest)] = connection.execute(f"SELECT count(*), max(newest) FROM {name}".encode())
    if not rows:
        connection.execute(f"DROP MATERIALIZED VIEW {name}".encode())
        return
    connection.execute(f"CREATE INDEX ON {name} (tenant_no, day)".encode())
    connection.execute(
        "INSERT INTO kpi_admin.slice (kpi_id, first, last, relation, newest_event) VALUES (%s, %s, %s, %s, %s)",
        [kpi_id, first, last, relation, newest],
    )
    if compiled.fold in ("value", "level"):
        return
    amount = "count(DISTINCT entity)" if compiled.entity else "sum(amount)"
    for statement in (DAY_AMOUNT, DAY_MEMBERS)[: 2 if compiled.entity else 1]:
        asked = {"kpi_id": kpi_id, "first": first, "large": LARGE, "crowd": CROWD}
        connection.execute(statement.format(slice=name, amount=amount).encode(), asked)


def replace_views(connection: Connection, every: dict[str, Compiled], which: list[Compiled]) -> None:
    """Points the public views of some KPIs at the slices that stand now.

    A view that a long query holds is left as it is and noted in kpi_admin.kpi (`view_due`); its slices stand
    until a later refresh moves it on.
    """
    rows = connection.execute("SELECT kpi_id, relation, first, last FROM kpi_admin.slice ORDER BY first").fetchall()
    slices: dict[str, list[tuple[str, date, date]]] = {}
    for kpi_id, relation, first, last in rows:
        slices.setdefault(kpi_id, []).append((relation, first, last))
    late = []
    for compiled in which:
        statement = public_view(compiled, every, slices)
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '500ms'")
                connection.execute(statement.encode())
        except psycopg.errors.InvalidTableDefinition:  # its columns changed with its definition
            connection.execute(f"DROP VIEW kpi.{quote(compiled.kpi.kpi_id)}".encode())
            connection.execute(statement.encode())
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            late.append(compiled.kpi.kpi_id)
    connection.execute("SET LOCAL lock_timeout = 0")
    connection.execute(
        "UPDATE kpi_admin.kpi SET view_due = kpi_id = ANY (%s) WHERE kpi_id = ANY (%s) AND view_due <> (kpi_id = ANY (%s))",
        [late, [compiled.kpi.kpi_id for compiled in which], late],
    )


def drop_retired(connection: Connection) -> None:
    """Drops what nothing has pointed to for a while, a few at a time and without waiting for readers."""
    rows = connection.execute(
        "SELECT relation FROM kpi_admin.retired_slice WHERE retired_at < clock_timestamp() - %s::interval ORDER BY relation",
        [KEEP_RETIRED],
    ).fetchall()
    for start in range(0, len(rows), AT_ONCE):
        with connection.transaction():
            dropped = [one for (one,) in rows[start : start + AT_ONCE] if _drop(connection, f"MATERIALIZED VIEW IF EXISTS kpi_slice.{quote(one)}")]
            connection.execute("DELETE FROM kpi_admin.retired_slice WHERE relation = ANY (%s)", [dropped])
    aside = connection.execute(
        "SELECT relkind::text, relname FROM pg_class WHERE relnamespace = 'kpi_retired'::regnamespace AND relkind IN ('r', 'v') "
        "ORDER BY relkind DESC"  # views before the tables they read
    ).fetchall()
    for kind, name in aside:
        _drop(connection, f"{'VIEW' if kind == 'v' else 'TABLE'} kpi_retired.{quote(name)}")


def _drop(connection: Connection, what: str) -> bool:
    """False when somebody reads it, or something still stands on it: next time."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '200ms'")
            connection.execute(f"DROP {what}".encode())
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist):
        return False
    return True
