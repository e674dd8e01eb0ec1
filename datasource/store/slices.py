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

LARGE = 5000  # rows of a slice from which bitmaps of its members pay
CHUNK_BITS = 11  # as the planner has it
CROWD = 2  # members of a bitmap on average from which it is no larger than their rows
ALL_TIME = (date(2000, 1, 1), date(2101, 2, 1))
KEEP_RETIRED = "2 minutes"  # longer than any statement may run


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
    connection.execute(
        "WITH old AS (DELETE FROM kpi_admin.slice WHERE kpi_id = %s AND first >= %s AND last <= %s RETURNING relation, members) "
        "INSERT INTO kpi_admin.retired_slice SELECT r FROM old, unnest(ARRAY[members, relation]) AS r WHERE r IS NOT NULL",
        [kpi_id, first, last],
    )


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
    members, crowded = _members(connection, relation) if compiled.entity and rows > LARGE else (None, None)
    connection.execute(
        "INSERT INTO kpi_admin.slice (kpi_id, first, last, relation, members, crowded, newest_event) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [kpi_id, first, last, relation, members, crowded, newest],
    )


def _members(connection: Connection, relation: str) -> tuple[str | None, list[int] | None]:
    """Builds bitmaps of who counted by tenant and day, for the tenants for which they are smaller than rows."""
    days = f"(SELECT DISTINCT tenant_no, day, entity >> {CHUNK_BITS} AS chunk, entity FROM kpi_slice.{quote(relation)}) AS days"
    tenants = connection.execute(
        f"SELECT tenant_no FROM (SELECT tenant_no, count(*) AS n FROM {days} GROUP BY tenant_no, day, chunk) AS chunks "
        f"GROUP BY tenant_no HAVING avg(n) >= {CROWD} AND sum(n) >= {LARGE / 10}".encode()
    )
    crowded = [tenant_no for (tenant_no,) in tenants]
    if not crowded:
        return None, None
    name, bits = f"{relation}_m", 1 << CHUNK_BITS
    union = f"bit_or(set_bit(repeat('0', {bits})::bit({bits}), entity & {bits - 1}, 1)) AS members"
    connection.execute(
        f"CREATE MATERIALIZED VIEW kpi_slice.{quote(name)} AS "
        f"WITH days AS MATERIALIZED (SELECT tenant_no, day, chunk, {union} FROM {days} "
        f"WHERE tenant_no IN ({', '.join(map(str, crowded))}) GROUP BY tenant_no, day, chunk) "
        "SELECT tenant_no, false AS whole, day, chunk, members FROM days UNION ALL "
        "SELECT tenant_no, true, NULL, chunk, bit_or(members) FROM days GROUP BY tenant_no, chunk "
        "ORDER BY 1, 2, 3".encode()
    )
    connection.execute(f"CREATE INDEX ON kpi_slice.{quote(name)} (tenant_no, whole, day)".encode())
    return name, crowded


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
    """Drops what nothing has pointed to for a while, one by one and without waiting for readers."""
    rows = connection.execute(
        "SELECT relation FROM kpi_admin.retired_slice WHERE retired_at < clock_timestamp() - %s::interval "
        "ORDER BY relation DESC",  # bitmaps before the slice they are made from
        [KEEP_RETIRED],
    ).fetchall()
    for (relation,) in rows:
        if _drop(connection, f"MATERIALIZED VIEW IF EXISTS kpi_slice.{quote(relation)}"):
            connection.execute("DELETE FROM kpi_admin.retired_slice WHERE relation = %s", [relation])
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
