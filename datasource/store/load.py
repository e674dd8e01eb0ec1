"""Loading records into the raw tables, so that a load that dies can simply be run again.

A load is committed in batches. Each batch is a row of kpi_admin.load with a number of its own,
and loads queue behind one another, so whoever sees a load number sees all of its events and
all earlier ones.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.errors import UndefinedTable

from datasource.store.batches import Batches, Connection, Counts
from datasource.store.errors import StoreError
from datasource.store.lines import chunks, files, size
from datasource.store.locks import LOAD_LOCK
from datasource.store.parsing import parsed

__all__ = ["LOAD_LOCK", "Counts", "SetAside", "load", "rejected"]


class SetAside(NamedTuple):
    """A line that was set aside, when, and why; `raw` is cut at 1 MiB."""

    loaded_at: datetime
    file: str
    line: int
    reason: str
    raw: bytes


def load(
    connection: Connection,
    paths: Sequence[str | Path],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    err: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Counts:
    """Load files, folders (all their .ndjson and .ndjson.gz) and `-` (standard input).

    `on_progress` gets the bytes read so far and in all, as they are stored (0 for a
    pipe); `err` gets a line for each of the first 100 records that are set aside. The
    connection must not be within a transaction. Waits for other loads to end.
    Raises StoreError when a path does not exist, no line could be read or the database fails.
    """
    names = files(paths)
    total = size(names)
    before, connection.autocommit = connection.autocommit, True
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOAD_LOCK])
        batches = Batches(connection, err)
        with closing(parsed(chunks(names))) as read, closing(batches.commit(read)) as written:
            for done in written:
                if on_progress:
                    on_progress(done, total)
    except UndefinedTable:
        raise StoreError("the database has no tables to load into", "run chatkpi init") from None
    except psycopg.OperationalError as error:
        raise StoreError(
            f"the database failed: {error}", "run the load again: nothing will count twice"
        ) from None
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOAD_LOCK])
            connection.autocommit = before
    if batches.broken and not batches.lines:
        raise StoreError(batches.broken)
    return batches.counts


def rejected(connection: Connection, limit: int) -> Iterator[SetAside]:
    """Give what was set aside, the latest load first, at most `limit` lines."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT loaded_at, file, line, reason, raw FROM kpi_admin.set_aside "
            "ORDER BY loaded_at DESC, file, line LIMIT %s",
            [limit],
        )
        for row in cursor:
            yield SetAside(*row)
