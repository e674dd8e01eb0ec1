"""`chatkpi init`: schema, facts, hits, catalogue, public views and rights, in one transaction."""

import json
from dataclasses import asdict

from psycopg import sql

from datasource.catalog import LISTS, Catalog
from datasource.compile import Compiled, compile_kpis, forms
from datasource.store import definitions, rights, standing, turns
from datasource.store.connection import Connection, run
from datasource.store.public_views import replace_views

MIGRATIONS = """
CREATE SCHEMA IF NOT EXISTS kpi_admin;
CREATE TABLE IF NOT EXISTS kpi_admin.migration (
    name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
# Drops the internal functions, since CREATE OR REPLACE cannot change a parameter's name; not those
# that a view or an aggregate calls: to find that out by trying would lock the view.
FORGET_FUNCTIONS = """
DO $$
DECLARE
    known regprocedure;
BEGIN
    FOR known IN
        SELECT p.oid FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = to_regnamespace('kpi_admin') AND p.prokind = 'f' AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
                AND d.refobjid = p.oid AND d.deptype = 'n'
        )
    LOOP
        EXECUTE 'DROP FUNCTION ' || known;
    END LOOP;
END
$$
"""


def init(connection: Connection, catalog: Catalog) -> None:
    """Create or migrate everything that `views/` defines; safe to repeat.

    New and changed KPIs come with the next refresh; what stood before goes on answering as it
    did until then. Waits for a refresh to end, and a while for readers of what has to be replaced;
    says for whom. The connection must not be within a transaction. Raises DefinitionError for
    definitions that cannot be used, StoreError when readers go on or this login has not the rights.
    """
    every = compile_kpis(catalog)
    before, connection.autocommit = connection.autocommit, True
    try:
        turns.patiently(connection, lambda: _prepare(connection))
        with turns.turn(connection, "refresh"):
            turns.patiently(connection, lambda: _install(connection, catalog, every))
    finally:
        if not connection.closed:
            connection.autocommit = before


def _prepare(connection: Connection) -> None:
    """Create what has to be there before it is this process's turn."""
    _begin(connection)
    connection.execute("CREATE SCHEMA IF NOT EXISTS kpi_admin")
    turns.create(connection)


def _begin(connection: Connection) -> None:
    """Set the transaction up: as the owner, with no names but PostgreSQL's own."""
    connection.execute(
        "SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = warning"
    )
    run(connection, f"SET LOCAL search_path = {rights.SAFE_PATH}")
    rights.create_roles(connection)
    rights.act_as_owner(connection)


def _install(connection: Connection, catalog: Catalog, every: dict[str, Compiled]) -> None:
    """Do what `init` does, in a transaction."""
    _begin(connection)
    connection.execute(FORGET_FUNCTIONS)
    _migrate(connection, catalog)
    for path in catalog.schema:
        text = path.read_text("utf-8")
        run(connection, standing.left_to_do(connection, text))
        standing.note(connection, text)
    _write_lists(connection)
    connection.execute("SELECT kpi_admin.add_zone('UTC')")
    standing.heal_slices(connection)
    standing.heal_definitions(connection)
    standing.note_change(connection)
    definitions.stage(connection, catalog, every)
    run(connection, f"SET LOCAL search_path = {rights.SAFE_PATH}")
    # Views of changed KPIs stay as they are, with their slices, until the refresh.
    rows = connection.execute("SELECT kpi_id, form FROM kpi_admin.kpi").fetchall()
    form = forms(every, catalog.facts)
    in_force: dict[str, str] = dict(rows)
    which = [kpi_id for kpi_id in every if in_force.get(kpi_id) == form[kpi_id]]
    replace_views(connection, every, which, changed=which)
    rights.grant(connection)


def _write_lists(connection: Connection) -> None:
    """Create the function that tells the functions for the server which lists there are."""
    rows = [{"name": name, **asdict(known)} for name, known in LISTS.items()]
    body = sql.SQL("SELECT * FROM jsonb_populate_recordset(NULL::kpi_http.known_list, {})").format(
        json.dumps(rows)
    )
    connection.execute(
        sql.SQL(
            "CREATE FUNCTION kpi_http.known_lists() RETURNS SETOF kpi_http.known_list "
            "LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS {}; "
            "REVOKE ALL ON FUNCTION kpi_http.known_lists FROM PUBLIC"
        ).format(body.as_string(connection))
    )


def _migrate(connection: Connection, catalog: Catalog) -> None:
    """Run the migrations that the database's tables have not had.

    A new database needs none, for views/schema/ makes its tables as they are to be.
    """
    [(is_new,)] = connection.execute("SELECT to_regclass('kpi_admin.state') IS NULL").fetchall()
    connection.execute(MIGRATIONS)
    rows = connection.execute("SELECT name FROM kpi_admin.migration").fetchall()
    had = {name for (name,) in rows}
    for path in catalog.migrations:
        if path.stem in had:
            continue
        if not is_new:
            connection.execute(path.read_bytes())
        connection.execute("INSERT INTO kpi_admin.migration (name) VALUES (%s)", [path.stem])
