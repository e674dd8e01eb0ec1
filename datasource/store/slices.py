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

ALL_TIME = (date(2000, 1, 1), date(2101, 2, 1))
KEEP_RETIRED = "2 minutes"  # longer than any statement may run
AT_ONCE = 40  # drops of a transaction: each commit waits for the disk, each drop holds some locks


def rebuild(
    connection: Connection, compiled: Compiled, months: Iterable[date], generation: int
) -> int:
    """Builds a KPI's slices that hold any of the given local months; returns how many."""
    kpi_id = compiled.kpi.kpi_id
    standing = connection.execute(
        "SELECT first, last FROM kpi_admin.slice WHERE kpi_id = %s", [kpi_id]
    ).fetchall()
    spans = sorted({_span(compiled, month, standing) for month in months})
    for first, last in spans:
        _retire(connection, kpi_id, first, last)
        _build(connection, compiled, first, last, generation)
    return len(spans)


def forget(connection: Connection, kpi_id: str) -> None:
    """Retires all of a KPI's slices."""
    _retire(connection, kpi_id, date.min, date.max)
    connection.execute("SELECT kpi_admin.unfold(%s)", [kpi_id])


def _retire(connection: Connection, kpi_id: str, first: date, last: date) -> None:
    connection.execute(
        "WITH old AS (DELETE FROM kpi_admin.slice WHERE kpi_id = %s AND first >= %s AND last <= %s RETURNING relation) "
        "INSERT INTO kpi_admin.retired_slice SELECT relation FROM old",
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
    if month.year < date.today().year - 1 and not any(
        first.year == month.year for first, _ in standing
    ):
        return year
    return month, date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _build(
    connection: Connection, compiled: Compiled, first: date, last: date, generation: int
) -> None:
    kpi_id = compiled.kpi.kpi_id
    relation = f"{kpi_id}_{first:%Y_%m}_{generation}"
    name = f"kpi_slice.{quote(relation)}"
    select = slice_select(compiled, first, last)
    connection.execute(f"CREATE MATERIALIZED VIEW {name} AS {select}".encode())
    [(rows, newest)] = connection.execute(f"SELECT count(*), max(newest) FROM {name}".encode())
    if rows:
        connection.execute(f"CREATE INDEX ON {name} (tenant_no, day)".encode())
        connection.execute(
            "INSERT INTO kpi_admin.slice (kpi_id, first, last, relation, newest_event) VALUES (%s, %s, %s, %s, %s)",
            [kpi_id, first, last, relation, newest],
        )
    else:
        connection.execute(f"DROP MATERIALIZED VIEW {name}".encode())
    if compiled.fold not in ("value", "level"):
        connection.execute(
            "SELECT kpi_admin.fold(%s, %s, %s, %s)",
            [kpi_id, first, last, relation if rows else None],
        )


def replace_views(
    connection: Connection, every: dict[str, Compiled], which: list[Compiled]
) -> None:
    """Points the public views of some KPIs at the slices that stand now.

    A view that a long query holds is left as it is and noted in kpi_admin.kpi (`view_due`); its slices stand
    until a later refresh moves it on.
    """
    rows = connection.execute(
        "SELECT kpi_id, relation, first, last FROM kpi_admin.slice ORDER BY first"
    ).fetchall()
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
            dropped = [
                one
                for (one,) in rows[start : start + AT_ONCE]
                if _drop(connection, f"MATERIALIZED VIEW IF EXISTS kpi_slice.{quote(one)}")
            ]
            connection.execute(
                "DELETE FROM kpi_admin.retired_slice WHERE relation = ANY (%s)", [dropped]
            )
    aside = connection.execute(
        "SELECT relkind::text, relname FROM pg_catalog.pg_class WHERE relnamespace = 'kpi_retired'::regnamespace AND relkind IN ('r', 'v') "
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
