"""Brings a catalogue into the database: fact tables, hits views, rows of kpi_admin.kpi and .dim.

Slices that stand can be read only as the definitions say from which they were built. So `init`
changes definitions at once only where nothing stands; else it says that they are due, and the next
refresh makes new tables and views aside (`prepare`), fills them, and moves them to where the old
ones are (`publish`), all in its one transaction. Until that ends the old ones answer.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import md5

import psycopg
from psycopg import sql

from datasource.catalog import DIMS, Catalog, Fact, in_order
from datasource.compile import (
    CATALOG_COLUMNS,
    Compiled,
    CountedKpi,
    catalog_rows,
    dim_lookup,
    forms,
    hits_view,
)
from datasource.compile.comments import fact_comments
from datasource.store import slices
from datasource.store.connection import Connection, run
from datasource.store.errors import StoreError
from datasource.store.retired import move, retire

# Unqualified names in the SELECTs of facts and KPIs mean these, what is prepared first.
SEARCH_PATH = "SET LOCAL search_path = kpi_next, kpi_fact, kpi_data, kpi_admin, pg_temp"
# What the SELECTs of facts join: `store/facts.py` fills it.
TOUCHED = """
CREATE TEMP TABLE IF NOT EXISTS touched (no integer, after integer, month date) ON COMMIT DROP"""
# The columns of kpi_admin.kpi that say nothing of how its slices are read.
WORDS = "position, family, title, description, title_nl, description_nl, unit, source"
DIM_COLUMNS = ("dim", "expression", "join_sql", "parent_of", "entity")
LOCK_TIMEOUT = "5s"


@dataclass(frozen=True)
class Prepared:
    """What waits in kpi_next and kpi_next_hits, and what `publish` takes away."""

    facts: tuple[str, ...] = ()
    kpis: tuple[str, ...] = ()
    old_facts: tuple[str, ...] = ()
    old_kpis: tuple[str, ...] = ()


def stage(connection: Connection, catalog: Catalog, every: dict[str, Compiled]) -> bool:
    """Put a catalogue in force where nothing stands, else its words only.

    Returns whether the definitions are in force now; if not, the next refresh publishes them.
    """
    due = _differ(connection, catalog, every)
    [(standing,)] = connection.execute("SELECT EXISTS (SELECT FROM kpi_admin.slice)").fetchall()
    run(
        connection,
        "UPDATE kpi_admin.state SET definitions = %s, publish_due = %s",
        [_fingerprint(catalog), due],
    )
    if due and not standing:
        publish(connection, catalog, every, prepare(connection, catalog, every))
        return True
    _write_rows(connection, catalog, every, words_only=True)
    return not due


def check_same(connection: Connection, catalog: Catalog) -> None:
    """Raise StoreError when the database was set up with another catalogue than this one."""
    [(installed,)] = connection.execute("SELECT definitions FROM kpi_admin.state").fetchall()
    if installed != _fingerprint(catalog):
        raise StoreError("the definitions are not those of the database", "run chatkpi init")


def _fingerprint(catalog: Catalog) -> str:
    """Return a text that is the same for catalogues which count the same in the same way."""
    kpis = [
        [kpi.kpi_id, kpi.counting, kpi.grain, kpi.is_level, kpi.dims, kpi.definition]
        for kpi in catalog.kpis.values()
    ]
    made = json.dumps([kpis, _selects(catalog), _dim_rows()], sort_keys=True)
    return md5(made.encode(), usedforsecurity=False).hexdigest()


def _selects(catalog: Catalog) -> dict[str, str]:
    return {name: fact.select for name, fact in catalog.facts.items()}


def _differ(connection: Connection, catalog: Catalog, every: dict[str, Compiled]) -> bool:
    """Return whether the tables, views and rows of the database are not those of a catalogue."""
    known: list[dict[str, object]] = [
        dict(run(connection, f"SELECT {columns} FROM kpi_admin.{table}").fetchall())
        for table, columns in (
            ("fact", "fact, definition"),
            ("kpi", "kpi_id, form"),
            ("dim", "dim, row(expression, join_sql, parent_of, entity)::text"),
        )
    ]
    [dims] = run(
        connection,
        "SELECT json_object_agg(dim, row(expression, join_sql, parent_of, entity)::text) "
        "FROM json_populate_recordset(NULL::kpi_admin.dim, %s)",
        [json.dumps([dict(zip(DIM_COLUMNS, row, strict=True)) for row in _dim_rows()])],
    ).fetchall()
    return known != [_selects(catalog), forms(every, catalog.facts), dims[0]]


def prepare(connection: Connection, catalog: Catalog, every: dict[str, Compiled]) -> Prepared:
    """Make the new tables and views beside those that stand, and write the rows about them.

    Readers are not in the way of this, nor it in theirs. Nothing of it shows before the transaction
    ends; `publish` has to come before that.
    """
    run(connection, SEARCH_PATH)
    run(connection, TOUCHED)
    known: dict[str, str] = dict(
        run(connection, "SELECT fact, definition FROM kpi_admin.fact").fetchall()
    )
    facts = [f for f in in_order(catalog.facts) if known.get(f.name) != f.select]
    for fact in facts:
        _create_fact(connection, fact)
    old_facts = [
        name
        for name in known
        if name not in catalog.facts or known[name] != catalog.facts[name].select
    ]
    run(connection, "DELETE FROM kpi_admin.fact WHERE fact = ANY (%s)", [old_facts])
    for fact in facts:
        run(connection, "INSERT INTO kpi_admin.fact VALUES (%s, %s)", [fact.name, fact.select])
    if facts:
        run(connection, "UPDATE kpi_admin.state SET full_due = true")
    standing: dict[str, str] = dict(
        run(connection, "SELECT kpi_id, form FROM kpi_admin.kpi").fetchall()
    )
    form = forms(every, catalog.facts)
    changed = [kpi_id for kpi_id in every if standing.get(kpi_id) != form[kpi_id]]
    old_kpis = [kpi_id for kpi_id in standing if kpi_id not in every]
    run(connection, "DELETE FROM kpi_admin.kpi WHERE kpi_id = ANY (%s)", [old_kpis])
    _write_rows(connection, catalog, every, words_only=False)
    _write_dims(connection)
    for kpi_id in (*changed, *old_kpis):
        slices.forget(connection, kpi_id)
    for kpi_id in changed:
        compiled = every[kpi_id]
        if isinstance(compiled, CountedKpi):
            run(connection, hits_view(compiled, "kpi_next_hits"))
    return Prepared(tuple(f.name for f in facts), tuple(changed), tuple(old_facts), tuple(old_kpis))


def publish(
    connection: Connection, catalog: Catalog, every: dict[str, Compiled], prepared: Prepared
) -> None:
    """Move what is prepared to where it is looked for, what was there before out of the way.

    Waits some seconds for readers. Raises StoreError when one does not end: run again later.
    """
    try:
        run(connection, f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        for fact in prepared.old_facts:
            retire(connection, "table", "kpi_fact", fact)
        for fact in prepared.facts:
            move(connection, "table", fact, "kpi_next", "kpi_fact")
        for kpi_id in (*prepared.kpis, *prepared.old_kpis):
            retire(connection, "view", "kpi_hits", kpi_id)
        for kpi_id in prepared.kpis:
            if isinstance(every[kpi_id], CountedKpi):
                move(connection, "view", kpi_id, "kpi_next_hits", "kpi_hits")
        for kpi_id in prepared.old_kpis:
            retire(connection, "view", "kpi", kpi_id)
        for comment in fact_comments(catalog):
            run(connection, comment)
        run(connection, "SET LOCAL lock_timeout = 0")
    except psycopg.errors.LockNotAvailable:
        raise StoreError(
            "somebody has been reading what new definitions are to replace",
            "end that transaction (pg_stat_activity shows it), then run chatkpi refresh",
        ) from None
    run(connection, "UPDATE kpi_admin.state SET publish_due = false")


def _create_fact(connection: Connection, fact: Fact) -> None:
    table = sql.Identifier("kpi_next", fact.name).as_string(connection)
    run(connection, f"CREATE TABLE {table} AS {fact.select} WITH NO DATA")
    for index in fact.indexes:
        columns, where, condition = index.partition(" where ")
        run(connection, f"CREATE INDEX ON {table} ({columns}){where}{condition}")


def _write_rows(
    connection: Connection, catalog: Catalog, every: dict[str, Compiled], *, words_only: bool
) -> None:
    """Write the KPIs' rows; words only: those of KPIs that are there already, and nothing else."""
    columns = CATALOG_COLUMNS.split(", ")
    rows = catalog_rows(catalog, every)
    if words_only:
        words = WORDS.split(", ")
        assigned = ", ".join(f"{column} = %s" for column in words)
        places = [columns.index(column) for column in (*words, "kpi_id")]
        statement = f"UPDATE kpi_admin.kpi SET {assigned} WHERE kpi_id = %s"
        values: Iterable[list[object]] = ([row[place] for place in places] for row in rows)
    else:
        assigned = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
        statement = (
            f"INSERT INTO kpi_admin.kpi AS old ({CATALOG_COLUMNS}) "
            f"VALUES ({', '.join(['%s'] * len(columns))}) ON CONFLICT (kpi_id) DO UPDATE "
            f"SET {assigned}, stale = old.stale OR old.form <> excluded.form"
        )
        values = map(list, rows)
    with connection.cursor() as cursor:
        cursor.executemany(statement.encode(), values)


def _dim_rows() -> list[tuple[str | None, ...]]:
    return [(dim, *dim_lookup(dim), of.parent_of, of.entity) for dim, of in DIMS.items()]


def _write_dims(connection: Connection) -> None:
    run(connection, "DELETE FROM kpi_admin.dim")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO kpi_admin.dim VALUES (%s, %s, %s, %s, %s)", _dim_rows())
