"""Queries answer while a refresh runs, wholly from before it or wholly from after it."""

import threading
import time
from pathlib import Path
from typing import Any

import psycopg

from datasource.store.connection import connect
from datasource.store.refresh import refresh
from tests.agreement import CATALOG, load_records
from tests.conftest import Databases
from tests.oracle.random_records import tenants

ASK = """SELECT (SELECT value FROM kpi.total('messages', '2024-01-01', '2027-01-01')),
    (SELECT value FROM kpi.total('sessions', '2024-01-01', '2027-01-01')),
    (SELECT count(*) FROM kpi.hits('messages', '2024-01-01', '2027-01-01'))"""
PATIENCE = 30.0


def prepared(
    database: Databases, folder: Path
) -> tuple[str, psycopg.Connection[Any], list[dict[str, Any]]]:
    """Half of some records loaded and refreshed, the rest loaded."""
    url = database.installed()
    connection = connect(url, autocommit=True)
    records = tenants(71, 6)
    load_records(connection, records[: len(records) // 2], folder)
    refresh(connection, CATALOG)
    return url, connection, records


def test_answers_are_whole_while_a_refresh_runs(database: Databases, tmp_path: Path) -> None:
    url, connection, records = prepared(database, tmp_path)
    before = connection.execute(ASK).fetchone()
    load_records(connection, records[len(records) // 2 :], tmp_path)
    assert connection.execute(ASK).fetchone() == before, "loaded is not refreshed"
    seen: list[Any] = []
    done = threading.Event()

    def ask() -> None:
        with connect(url, autocommit=True) as reader:
            while not done.is_set():
                seen.append(reader.execute(ASK).fetchone())

    thread = threading.Thread(target=ask)
    thread.start()
    for full in (False, True, True):
        refresh(connection, CATALOG, full=full)
    done.set()
    thread.join(PATIENCE)
    after = connection.execute(ASK).fetchone()
    assert after != before
    assert len(seen) > 5 and set(seen) <= {before, after}
    assert seen == sorted(seen, key=[before, after].index), "it never goes back"


def test_two_refreshers_do_not_collide(database: Databases, tmp_path: Path) -> None:
    url, connection, records = prepared(database, tmp_path)
    load_records(connection, records[len(records) // 2 :], tmp_path)
    slices: list[int] = []

    def run() -> None:
        with connect(url, autocommit=True) as own:
            slices.append(refresh(own, CATALOG).slices)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(slices)[:2] == [0, 0] and max(slices) > 0, "one of them did it all"


def test_a_long_query_on_a_view_stops_neither_refresh_nor_readers(
    database: Databases, tmp_path: Path
) -> None:
    url, connection, records = prepared(database, tmp_path)
    with connect(url) as analyst, connect(url, autocommit=True) as other:
        held = analyst.execute(
            "SELECT sum(value) FROM kpi.messages"
        ).fetchone()  # and its transaction goes on
        load_records(connection, records[len(records) // 2 :], tmp_path)
        started = time.monotonic()
        refresh(connection, CATALOG)
        assert time.monotonic() - started < PATIENCE
        assert analyst.execute("SELECT sum(value) FROM kpi.messages").fetchone() == held
        assert other.execute("SELECT sum(value) FROM kpi.messages").fetchone() == held
        due = connection.execute("SELECT kpi_id FROM kpi_admin.kpi WHERE view_due").fetchall()
        assert due == [("messages",)]
        analyst.rollback()
        refresh(connection, CATALOG)
        seen = other.execute("SELECT sum(value) FROM kpi.messages").fetchone()
        assert seen != held
        assert seen == connection.execute("SELECT sum(amount) FROM kpi_hits.messages").fetchone()
