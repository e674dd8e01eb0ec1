"""`chatkpi init`: schema, facts, hits, catalogue, public views and rights, in one transaction."""

from datasource.catalog import Catalog
from datasource.compile import compile_kpis, forms
from datasource.store import definitions, rights
from datasource.store.connection import Connection, run
from datasource.store.public_views import replace_views
from datasource.store.refresh import REFRESH_LOCK

MIGRATIONS = """
CREATE SCHEMA IF NOT EXISTS kpi_admin;
CREATE TABLE IF NOT EXISTS kpi_admin.migration (
    name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
# Drops the internal functions, since CREATE OR REPLACE cannot change a parameter's name.
FORGET_FUNCTIONS = """
DO $$
DECLARE
    known regprocedure;
BEGIN
    FOR known IN SELECT oid FROM pg_catalog.pg_proc WHERE pronamespace = to_regnamespace('kpi_admin') AND prokind = 'f' LOOP
        BEGIN
            EXECUTE 'DROP FUNCTION ' || known;
        EXCEPTION WHEN dependent_objects_still_exist THEN  -- views and aggregates call it
        END;
    END LOOP;
END
$$
"""


def init(connection: Connection, catalog: Catalog) -> None:
    """Create or migrate everything that `views/` defines; safe to repeat.

    New and changed KPIs come with the next refresh; what stood before goes on answering as it
    did until then. Raises DefinitionError for definitions that cannot be used.
    """
    every = compile_kpis(catalog)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [REFRESH_LOCK])
        connection.execute(
            "SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = warning"
        )
        run(connection, f"SET LOCAL search_path = {rights.SAFE_PATH}")
        rights.create_roles(connection)
        rights.act_as_owner(connection)
        connection.execute(FORGET_FUNCTIONS)
        _migrate(connection, catalog)
        for path in catalog.schema:
            connection.execute(path.read_bytes())
        connection.execute("SELECT kpi_admin.add_zone('UTC')")
        definitions.stage(connection, catalog, every)
        run(connection, f"SET LOCAL search_path = {rights.SAFE_PATH}")
        # Views of changed KPIs stay as they are, with their slices, until the refresh.
        rows = connection.execute("SELECT kpi_id, form FROM kpi_admin.kpi").fetchall()
        form = forms(every, catalog.facts)
        in_force: dict[str, str] = dict(rows)
        which = [kpi_id for kpi_id in every if in_force.get(kpi_id) == form[kpi_id]]
        replace_views(connection, every, which, changed=which)
        rights.grant(connection)


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
