"""check and dashboards: the commands that look whether all is well."""

import os
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from psycopg import IsolationLevel
from psycopg.errors import (
    InvalidSchemaName,
    UndefinedColumn,
    UndefinedFunction,
    UndefinedTable,
    WrongObjectType,
)

from datasource import grafana
from datasource.catalog import Catalog, views_folder
from datasource.cli import grafana_checks
from datasource.cli.database_checks import CHECKS, DUE, INIT_REFRESH, NOTES, REFRESH, Check
from datasource.grafana.strict import SpecError
from datasource.store import locks, rights
from datasource.store.connection import Connection, connect
from datasource.store.errors import StoreError

SHOWN = 5  # things that are wrong, of each check
# Something is not there, or not as this version has it.
MISSING = (UndefinedTable, UndefinedFunction, UndefinedColumn, InvalidSchemaName, WrongObjectType)


def check(given: Namespace) -> int:
    """Look a running installation over; return 0 when all is well, 1 when something is wrong."""
    known = {
        "kpis": list(Catalog.read().kpis),
        "schemas": list(rights.SCHEMAS),
        "minutes": _setting("CHATKPI_MAX_BEHIND", "15"),
        "silent": _setting("CHATKPI_MAX_SILENT", "inf"),
        "clock": datetime.now(UTC),
    }
    all_is_well = True
    if given.grafana:
        for one in grafana_checks.findings(given.grafana):
            all_is_well &= _report(one.name, one.wrong, one.remedy)
    with connect() as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        [(waiting, is_late)] = connection.execute(DUE.encode(), known)
        if waiting:
            print(f"due    {waiting} wait for a refresh; {REFRESH}")
        if is_late:
            late = [f"{waiting} have waited for more than {known['minutes']:g} minutes"]
            all_is_well &= _report("refreshes", late if waiting else [], REFRESH)
        advice = locks.advice(connection)
        all_is_well &= _report(
            "room for the locks of a refresh", [advice] if advice else [], "do so"
        )
        for query in CHECKS:
            if waiting and query.of_numbers:
                print(f"due    {query.name}: looked at after the refresh")
                continue
            wrong, remedy = _wrong(connection, query, known)
            all_is_well &= _report(query.name, wrong, remedy)
        for (words,) in connection.execute(NOTES.encode(), known):
            print(f"ok     note: {words}")
    return 0 if all_is_well else 1


def _setting(name: str, default: str) -> float:
    try:
        return float(os.environ.get(name) or default)
    except ValueError:
        raise StoreError(f"{name} is no number") from None


def _wrong(connection: Connection, one: Check, known: dict[str, object]) -> tuple[list[str], str]:
    """Return what is wrong by a check, and what mends it."""
    try:
        with connection.transaction():
            rows = connection.execute(one.query.encode(), known).fetchall()
            return [
                words for words, *test in rows if not test or connection.execute(test[0]).rowcount
            ], one.remedy
    except MISSING as error:
        return [error.diag.message_primary or str(error)], INIT_REFRESH


def _report(name: str, wrong: list[str], remedy: str) -> bool:
    """Print what became of a check; return whether all is well."""
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    shown = "; ".join(wrong[:SHOWN])
    print(f"WRONG  {name}: {shown}{more}; {remedy}" if wrong else f"ok     {name}")
    return not wrong


def dashboards(given: Namespace) -> int:
    """Write dashboards and provisioning; each mistake in their files is a line of its own."""
    top = views_folder().parent  # of a checkout; an installed package has none
    top = Path() if top.name == "datasource" else top
    try:
        changed = grafana.check(top) if given.check else grafana.write(top)
    except SpecError as error:
        print(*(f"chatkpi: {mistake}" for mistake in error.mistakes), sep="\n", file=sys.stderr)
        return 1
    print(*changed, f"{len(changed)} files {'differ' if given.check else 'written'}", sep="\n")
    return 1 if given.check and changed else 0
