"""Tables and views that nothing points to: put aside, dropped when nobody can read them."""

from uuid import uuid4

import psycopg
from psycopg import sql

from datasource.store.connection import Connection, run

KEEP = "2 minutes"  # longer than any statement may run
AT_ONCE = 40  # drops of a transaction: each commit waits for the disk, each drop holds some locks
LOCK_TIMEOUT = "200ms"
KINDS = {
    "table": sql.SQL("TABLE"),
    "view": sql.SQL("VIEW"),
    "slice": sql.SQL("MATERIALIZED VIEW"),
}


def retire(connection: Connection, kind: str, schema: str, name: str) -> None:
    """Drop a table or view, or move it to kpi_retired if there is something made from it."""
    whole = sql.Identifier(schema, name)
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP {} IF EXISTS {}").format(KINDS[kind], whole))
    except psycopg.errors.DependentObjectsStillExist:
        _set_aside(connection, kind, schema, name)


def _set_aside(connection: Connection, kind: str, schema: str, name: str) -> None:
    if kind == "table":  # those of tables that are there already may have the same names
        table = sql.Identifier(schema, name).as_string(connection)
        indexes = (
            "SELECT i.indexrelid::regclass::text FROM pg_catalog.pg_index AS i "
            "WHERE i.indrelid = to_regclass(%s)"
        )
        for (index,) in connection.execute(indexes, [table]).fetchall():
            run(connection, f"DROP INDEX {index}")
    aside = f"{name}_{uuid4().hex[:12]}"
    renamed = sql.SQL("ALTER {} {} RENAME TO {}")
    connection.execute(
        renamed.format(KINDS[kind], sql.Identifier(schema, name), sql.Identifier(aside))
    )
    move(connection, kind, aside, schema, "kpi_retired")


def move(connection: Connection, kind: str, name: str, schema: str, to_schema: str) -> None:
    """Move a table or view to another schema; whatever reads it goes on reading it there."""
    moved = sql.SQL("ALTER {} {} SET SCHEMA {}")
    connection.execute(
        moved.format(KINDS[kind], sql.Identifier(schema, name), sql.Identifier(to_schema))
    )


def drop_retired(connection: Connection) -> None:
    """Drop what is long out of use, a few at a time and without waiting for readers."""
    rows = connection.execute(
        "SELECT relation FROM kpi_admin.retired_slice "
        "WHERE retired_at < clock_timestamp() - %s::interval ORDER BY relation",
        [KEEP],
    ).fetchall()
    for start in range(0, len(rows), AT_ONCE):
        with connection.transaction():
            dropped = [
                relation
                for (relation,) in rows[start : start + AT_ONCE]
                if _drop(connection, "slice", "kpi_slice", relation)
            ]
            connection.execute(
                "DELETE FROM kpi_admin.retired_slice WHERE relation = ANY (%s)", [dropped]
            )
    aside = connection.execute(
        "SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END, relname "
        "FROM pg_catalog.pg_class "
        "WHERE relnamespace = 'kpi_retired'::regnamespace AND relkind IN ('r', 'v') "
        "ORDER BY relkind DESC"  # views before the tables they read
    ).fetchall()
    for kind, name in aside:
        _drop(connection, kind, "kpi_retired", name)


def _drop(connection: Connection, kind: str, schema: str, name: str) -> bool:
    """Return False when somebody reads it, or something still stands on it: next time."""
    dropped = sql.SQL("DROP {} IF EXISTS {}").format(KINDS[kind], sql.Identifier(schema, name))
    try:
        with connection.transaction():
            run(connection, f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            connection.execute(dropped)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist):
        return False
    return True
