"""`chatkpi init`: schema, facts, hits, catalogue, public views and rights, in one transaction."""

import re

from datasource.catalog import Catalog
from datasource.compile import compile_kpis, forms
from datasource.store import definitions, rights
from datasource.store.connection import Connection, run
from datasource.store.public_views import replace_views
from datasource.store.refresh import REFRESH_LOCK

TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\S+) \((.*?)\);", re.DOTALL | re.MULTILINE)
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
        for path in catalog.schema:
            _add_columns(connection, path.read_text("utf-8"))
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


def _add_columns(connection: Connection, schema: str) -> None:
    """Adds the columns, always a table's last ones, that it lacks: CREATE TABLE IF NOT EXISTS does not."""
    for table, body in TABLE.findall(re.sub("--.*", "", schema)):
        columns = {text.split()[0].strip('"'): text for text in re.split(r",(?![^()]*\))", body)}
        known = "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass(%s)"
        there = {name for (name,) in connection.execute(known, [table])}
        for name in columns.keys() - there:
            if there and name.islower():  # no constraint
                run(connection, f"ALTER TABLE {table} ADD COLUMN {columns[name]}")
