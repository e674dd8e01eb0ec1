"""The public views kpi.<kpi_id>: a KPI's slices as one, with comments and its readers' rights."""

from collections.abc import Collection, Iterable
from datetime import date

import psycopg
from psycopg import sql

from datasource.compile import Compiled, public_view
from datasource.compile.comments import view_comments
from datasource.store.connection import Connection, run
from datasource.store.retired import retire

LOCK_TIMEOUT = "500ms"
# Everybody else's rights on a view; a null grantee is PUBLIC.
GRANTED = """
SELECT (SELECT rolname FROM pg_catalog.pg_roles AS r WHERE r.oid = a.grantee), a.privilege_type, a.is_grantable
FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
WHERE c.oid = pg_catalog.to_regclass(%s) AND a.grantee <> c.relowner"""  # noqa: E501


def replace_views(
    connection: Connection,
    every: dict[str, Compiled],
    which: Iterable[str],
    changed: Collection[str] = (),
) -> None:
    """Point the public views of some KPIs at the slices that stand now.

    Those of `changed` get their comments anew. A view that a long query holds is left as it is and
    noted in kpi_admin.kpi (`view_due`); its slices stand until a later refresh moves it on.
    """
    rows = run(
        connection, "SELECT kpi_id, relation, first, last FROM kpi_admin.slice ORDER BY first"
    ).fetchall()
    standing: dict[str, list[tuple[str, date, date]]] = {}
    for kpi_id, relation, first, last in rows:
        standing.setdefault(kpi_id, []).append((relation, first, last))
    replaced, late = list(which), []
    for kpi_id in replaced:
        statement = public_view(every[kpi_id], every, standing)
        try:
            _replace(connection, every[kpi_id], statement, kpi_id in changed)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            late.append(kpi_id)
    run(
        connection,
        "UPDATE kpi_admin.kpi SET view_due = kpi_id = ANY (%(late)s) "
        "WHERE kpi_id = ANY (%(replaced)s) AND view_due <> (kpi_id = ANY (%(late)s))",
        {"late": late, "replaced": replaced},
    )


def _replace(connection: Connection, compiled: Compiled, statement: str, changed: bool) -> None:
    kpi_id = compiled.kpi.kpi_id
    try:
        with connection.transaction():
            run(connection, f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            run(connection, statement)
    except psycopg.errors.InvalidTableDefinition:  # its columns changed with its definition
        with connection.transaction():
            run(connection, f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            granted = _granted(connection, kpi_id)
            retire(connection, "view", "kpi", kpi_id)  # somebody's own view may be made from it
            run(connection, statement)
            _grant(connection, kpi_id, granted)
            run(connection, "SET LOCAL lock_timeout = 0")
        changed = True
    else:
        run(connection, "SET LOCAL lock_timeout = 0")
    if changed:
        _grant(connection, kpi_id, [("kpi_reader", "SELECT", False)])
        for comment in view_comments(compiled):
            run(connection, comment)


def _granted(connection: Connection, kpi_id: str) -> list[tuple[str | None, str, bool]]:
    view = sql.Identifier("kpi", kpi_id).as_string(connection)
    return run(connection, GRANTED, [view]).fetchall()


def _grant(
    connection: Connection, kpi_id: str, granted: Iterable[tuple[str | None, str, bool]]
) -> None:
    for role, right, may_hand_on in granted:
        run(
            connection,
            sql.SQL("GRANT {} ON {} TO {}{}")
            .format(
                sql.SQL(right),  # a key word that PostgreSQL spelled
                sql.Identifier("kpi", kpi_id),
                sql.Identifier(role) if role is not None else sql.SQL("PUBLIC"),
                sql.SQL(" WITH GRANT OPTION") if may_hand_on else sql.SQL(""),
            )
            .as_string(connection),
        )
