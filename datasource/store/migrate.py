"""`chatkpi init`: schema, facts, hits, catalogue, public views and rights, in one transaction."""

import re
from uuid import uuid4

import psycopg

from datasource.catalog import DIMS, Catalog, in_order
from datasource.compile import Compiled, catalog_rows, compile_kpis, dim_lookup, hits_view, quote
from datasource.compile.comments import comments
from datasource.store import rights
from datasource.store.connection import Connection
from datasource.store.refresh import REFRESH_LOCK
from datasource.store.slices import forget, replace_views

KPI_COLUMNS = (
    "kpi_id, position, family, title, description, title_nl, description_nl, unit, counting, source, fold, "
    "grain, entity, distribution, dims, parts, numerators, denominators, per, reads, definition"
)
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
    """Creates or migrates everything that `views/` defines; safe to repeat.

    New and changed KPIs get their rows with the next refresh; what stood before goes on
    answering until then. Raises DefinitionError for definitions that cannot be used.
    """
    compiled = compile_kpis(catalog)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [REFRESH_LOCK])
        connection.execute(
            "SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = warning"
        )
        connection.execute(f"SET LOCAL search_path = {rights.SAFE_PATH}".encode())
        rights.create_roles(connection)
        rights.act_as_owner(connection)
        connection.execute(FORGET_FUNCTIONS)
        for path in catalog.schema:
            _add_columns(connection, path.read_text("utf-8"))
            connection.execute(path.read_bytes())
        connection.execute("SELECT kpi_admin.add_zone('UTC')")
        _facts(connection, catalog)
        _catalog(connection, compiled)
        for plain in compiled.values():
            if plain.query is not None:
                _hits(connection, plain)
        replace_views(connection, compiled, list(compiled.values()))
        for comment in comments(catalog, compiled):
            connection.execute(comment.encode())
        rights.grant(connection)


def _add_columns(connection: Connection, schema: str) -> None:
    """Adds the columns, always a table's last ones, that it lacks: CREATE TABLE IF NOT EXISTS does not."""
    for table, body in TABLE.findall(re.sub("--.*", "", schema)):
        columns = {text.split()[0].strip('"'): text for text in re.split(r",(?![^()]*\))", body)}
        known = "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass(%s)"
        there = {name for (name,) in connection.execute(known, [table])}
        for name in columns.keys() - there:
            if there and name.islower():  # no constraint
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {columns[name]}".encode())


def _facts(connection: Connection, catalog: Catalog) -> None:
    """Creates the fact tables, anew where their definition changed."""
    known: dict[str, str] = dict(
        connection.execute("SELECT fact, definition FROM kpi_admin.fact").fetchall()
    )
    connection.execute("SET LOCAL search_path = kpi_fact, kpi_data, kpi_admin, pg_temp")
    connection.execute(
        "CREATE TEMP TABLE touched (no integer, after integer, month date) ON COMMIT DROP"
    )
    for fact in in_order(catalog.facts):
        if known.get(fact.name) == fact.select:
            continue
        table = f"kpi_fact.{quote(fact.name)}"
        if fact.name in known:
            indexes = "SELECT indexrelid::regclass::text FROM pg_catalog.pg_index WHERE indrelid = %s::regclass"
            for (index,) in connection.execute(indexes, [table]).fetchall():
                connection.execute(f"DROP INDEX {index}".encode())
            retire(connection, "TABLE", "kpi_fact", fact.name)
        connection.execute(f"CREATE TABLE {table} AS {fact.select} WITH NO DATA".encode())
        for index in fact.indexes:
            columns, where, condition = index.partition(" where ")
            connection.execute(f"CREATE INDEX ON {table} ({columns}){where}{condition}".encode())
        connection.execute(
            "INSERT INTO kpi_admin.fact VALUES (%s, %s) ON CONFLICT (fact) DO UPDATE SET definition = excluded.definition",
            [fact.name, fact.select],
        )
        connection.execute("UPDATE kpi_admin.state SET load_no = 0, full_due = true")
    connection.execute("DROP TABLE touched")
    connection.execute(f"SET LOCAL search_path = {rights.SAFE_PATH}".encode())


def retire(connection: Connection, what: str, schema: str, name: str) -> None:
    """Moves a relation out of the way: slices made from it stand, and need it, until the next refresh."""
    aside = quote(f"{name}_{uuid4().hex[:12]}")
    connection.execute(f"ALTER {what} {schema}.{quote(name)} RENAME TO {aside}".encode())
    connection.execute(f"ALTER {what} {schema}.{aside} SET SCHEMA kpi_retired".encode())


def _hits(connection: Connection, compiled: Compiled) -> None:
    statement = hits_view(compiled).encode()
    try:
        with connection.transaction():
            connection.execute(statement)
    except psycopg.errors.InvalidTableDefinition:  # its columns changed with its definition
        retire(connection, "VIEW", "kpi_hits", compiled.kpi.kpi_id)
        connection.execute(statement)


def _catalog(connection: Connection, compiled: dict[str, Compiled]) -> None:
    """Writes kpi_admin.dim and kpi_admin.kpi; KPIs whose definition changed become stale."""
    connection.execute("DELETE FROM kpi_admin.dim")
    for dim, known in DIMS.items():
        expression, join = dim_lookup(dim)
        row = [
            dim,
            "r.tenant" if dim == "tenant" else expression,
            join,
            known.parent_of,
            known.entity,
        ]
        connection.execute("INSERT INTO kpi_admin.dim VALUES (%s, %s, %s, %s, %s)", row)
    gone = "DELETE FROM kpi_admin.kpi WHERE kpi_id <> ALL (%s) RETURNING kpi_id"
    for (kpi_id,) in connection.execute(gone, [list(compiled)]).fetchall():
        connection.execute(f"DROP VIEW IF EXISTS kpi.{quote(kpi_id)}")
        forget(connection, kpi_id)
    columns = KPI_COLUMNS.split(", ")
    updates = ", ".join(f"{c} = excluded.{c}" for c in columns[1:])
    telling = ("counting", "fold", "grain", "dims", "definition")
    changed = " OR ".join(f"old.{c} IS DISTINCT FROM excluded.{c}" for c in telling)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO kpi_admin.kpi AS old ({KPI_COLUMNS}) VALUES ({', '.join(['%s'] * len(columns))}) "
            f"ON CONFLICT (kpi_id) DO UPDATE SET {updates}, stale = old.stale OR {changed}",
            catalog_rows(compiled),
        )
