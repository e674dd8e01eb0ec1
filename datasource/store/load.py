"""Load records into the raw tables, so that a load that dies can simply be run again.

A load is committed in batches. Each batch is a row of kpi_admin.load with a number of its own,
and loads queue behind one another, so whoever sees a load number sees all of its events and
all earlier ones.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.errors import InvalidSchemaName, UndefinedTable, UniqueViolation

from datasource.store.connection import Connection
from datasource.store.contract import COLUMNS
from datasource.store.errors import StoreError
from datasource.store.forgotten import REASON as FORGOTTEN
from datasource.store.forgotten import Forgotten
from datasource.store.lines import LINE_BYTES, Chunk, Events, chunks, files, parsed, size
from datasource.store.record_type import EVENT
from datasource.store.turns import turn

BATCH_LINES = 200_000
REPORTED = 100  # records set aside that `err` is told of
OTHER_CONTENT = "id: taken by another content"
ZONE = COLUMNS["tenant"].index("timezone")  # its position among a tenant's values


def _columns(table: str) -> str:
    """Return the columns that a load fills, as SQL."""
    return ", ".join(f'"{name}"' for name in ("tenant_no", "load_no", *COLUMNS[table]))


NUMBER_TENANTS = """
INSERT INTO kpi_data.tenant_number (tenant) SELECT name FROM unnest(%s::text[]) AS name
WHERE NOT EXISTS (SELECT FROM kpi_data.tenant_number WHERE tenant = name)
ORDER BY name ON CONFLICT DO NOTHING
"""
END_BATCH = """
UPDATE kpi_admin.load
SET loaded_at = clock_timestamp(), taken = %s, already_had = %s, set_aside = %s WHERE load_no = %s
"""
BEGIN_RUN = "INSERT INTO kpi_admin.load_run DEFAULT VALUES RETURNING run_no"
END_RUN = """
UPDATE kpi_admin.load_run SET ended_at = clock_timestamp(), taken = %s, already_had = %s,
    set_aside = %s WHERE run_no = %s
"""
KEEP_SET_ASIDE_DAYS, MOST_DAYS = "30", 36_500
APPEND = f"COPY kpi_data.event ({_columns(EVENT)}) FROM STDIN".encode()
# The events of a tenant that are there already: their places in a list of ids, their contents.
# Lateral, for PostgreSQL to use the key and never read the whole table.
KNOWN = """
SELECT given.place - 1, e.content
FROM jsonb_array_elements_text(%s::jsonb) WITH ORDINALITY AS given (id, place) CROSS JOIN LATERAL (
    SELECT content FROM kpi_data.event WHERE tenant_no = %s AND id = given.id LIMIT 1
) AS e
"""


# A bot keeps its first name, and is described by it unless the record says otherwise.
KEPT = "(SELECT name FROM kpi_data.bot WHERE tenant_no = %(tenant_no)s AND id = %(id)s)"
BOT = {
    "name": f"coalesce({KEPT}, %(name)s)",
    "description": f"coalesce(%(description)s, {KEPT}, %(name)s)",
}


# The columns that tell an entity's records apart, where they are not those of most.
KEYS = {"tenant": "tenant_no", "potential": "tenant_no, month"}


@cache
def _upsert(table: str) -> bytes:
    """Return the statement that takes an entity's record in place of the earlier one."""
    names = ("tenant_no", "load_no", *COLUMNS[table])
    own_values = BOT if table == "bot" else {}
    values = (own_values.get(name, f"%({name})s") for name in names)
    latest = (f'"{name}" = excluded."{name}"' for name in names)
    return f"""
        INSERT INTO kpi_data."{table}" ({_columns(table)}) VALUES ({", ".join(values)})
        ON CONFLICT ({KEYS.get(table, "tenant_no, id")}) DO UPDATE SET {", ".join(latest)}
    """.encode()


class Counts(NamedTuple):
    """What became of a load's records."""

    taken: int
    already_had: int
    set_aside: int


@dataclass
class _Tally:
    """What became of the records so far."""

    taken: int = 0
    already_had: int = 0
    set_aside: int = 0

    def since(self, earlier: "_Tally") -> Counts:
        """Return what has come after an earlier tally."""
        return Counts(
            self.taken - earlier.taken,
            self.already_had - earlier.already_had,
            self.set_aside - earlier.set_aside,
        )


def load(
    connection: Connection,
    paths: Sequence[str | Path],
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
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
        with turn(connection, "load", err) as assert_turn:
            discard_set_aside(connection)
            [(run_no,)] = connection.execute(BEGIN_RUN)
            loading = _Load(connection, err, assert_turn)
            with closing(parsed(chunks(names))) as read, closing(loading.commit(read)) as written:
                for done in written:
                    on_progress(done, total)
            connection.execute(END_RUN, [*loading.tally.since(_Tally()), run_no])
    except (InvalidSchemaName, UndefinedTable):
        raise StoreError("the database has no tables to load into", "run chatkpi init") from None
    except psycopg.OperationalError as error:
        raise StoreError(
            f"the database failed: {error}", "run the load again: nothing will count twice"
        ) from None
    finally:
        if not connection.closed:
            connection.autocommit = before
    if loading.unread and not loading.lines:
        raise StoreError("; ".join(loading.unread))
    for line in loading.unread:
        err(line)
    return loading.tally.since(_Tally())


def discard_set_aside(connection: Connection) -> None:
    """Delete the lines that were set aside longer ago than CHATKPI_KEEP_SET_ASIDE days.

    They may hold personal data, and are there to be mended and loaded again. Raises StoreError when
    the setting is no number of days.
    """
    text = os.environ.get("CHATKPI_KEEP_SET_ASIDE") or KEEP_SET_ASIDE_DAYS
    try:
        days = int(text)
    except ValueError:
        days = -1
    if not 0 <= days <= MOST_DAYS:
        raise StoreError(f"CHATKPI_KEEP_SET_ASIDE is {text!r}, not a whole number of days")
    connection.execute(
        "DELETE FROM kpi_admin.set_aside "
        "WHERE loaded_at < clock_timestamp() - make_interval(days => %s)",
        [days],
    )


class _Load:
    """Takes parsed chunks, one after the other."""

    def __init__(
        self,
        connection: Connection,
        err: Callable[[str], None],
        assert_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self.tally = _Tally()
        self.lines = 0
        self.connection = connection
        self.err = err
        self.assert_turn = assert_turn
        self.forgotten = Forgotten.read(connection)  # none is forgotten while a load runs
        self.load_no = 0
        self.tenants: dict[str, int] = {}
        self.unread: list[str] = []  # why files could not be read, when no line had been so far
        self.repeats = False  # the last chunk had some, so the next one may

    def commit(self, parsed: Iterator[Chunk]) -> Generator[int, None, None]:
        """Write the chunks, a transaction for each batch; give, for each, the bytes read so far."""
        chunk = next(parsed, None)
        while chunk is not None:
            with self.connection.transaction(), ThreadPoolExecutor(1) as writer:
                # The number of the load becomes visible together with its events.
                [(self.load_no,)] = self.connection.execute(
                    "INSERT INTO kpi_admin.load DEFAULT VALUES RETURNING load_no"
                )
                before, end = replace(self.tally), self.lines + BATCH_LINES
                while chunk is not None and self.lines < end:
                    taking, done = writer.submit(self._take, chunk), chunk.done
                    chunk = next(parsed, None)  # while PostgreSQL stores the one before
                    taking.result()
                    yield done
                self.connection.execute(END_BATCH, [*self.tally.since(before), self.load_no])
                self.assert_turn()

    def _take(self, chunk: Chunk) -> None:
        self.lines += len(chunk.lines)
        self.forgotten.take_out(chunk)
        self._number_tenants(chunk)
        if chunk.events and (self.repeats or not self._append(chunk)):
            self.repeats = self._leave_out(chunk, chunk.events)
            self._append(chunk)
        self._leave_out(chunk, chunk.repeats)
        for table in chunk.entities:
            self._replace(chunk, table)
        if chunk.broken:
            chunk.set_aside.append((len(chunk.lines), chunk.broken))
        if chunk.set_aside:
            self._set_aside(chunk)

    def _number_tenants(self, chunk: Chunk) -> None:
        named = {tenant for entities in chunk.entities.values() for _, tenant, _ in entities}
        if new := list((named | chunk.events.keys()) - self.tenants.keys()):
            self.connection.execute(NUMBER_TENANTS, [new])
            known = "SELECT tenant, tenant_no FROM kpi_data.tenant_number WHERE tenant = ANY (%s)"
            self.tenants |= dict(self.connection.execute(known, [new]).fetchall())

    def _append(self, chunk: Chunk) -> bool:
        """Copy the events into their table. Return False, and do nothing, if it has one of them."""
        parts: list[str] = []
        for tenant, events in chunk.events.items():
            start = f"{self.tenants[tenant]}\t{self.load_no}\t"
            if events.indexes:
                parts += (start, events.rows.replace("\n", f"\n{start}"), "\n")
        try:
            with (
                self.connection.transaction(),
                self.connection.cursor() as cursor,
                cursor.copy(APPEND) as copy,
            ):
                copy.write("".join(parts))
        except UniqueViolation:
            return False
        self.tally.taken += sum(len(events.indexes) for events in chunk.events.values())
        return True

    def _leave_out(self, chunk: Chunk, by_tenant: dict[str, Events]) -> bool:
        """Take events out that are in their table already; say whether there were any."""
        found = False
        for tenant, events in by_tenant.items():
            asked = [events.ids.decode(), self.tenants[tenant]]
            known: dict[int, UUID] = dict(self.connection.execute(KNOWN, asked).fetchall())
            if not known:
                continue
            found = True
            by_tenant[tenant] = events.without(known)
            for position, event in enumerate(events.unpack()):
                content = known.get(position)
                if content is None:
                    continue
                if event.row.endswith(content.hex):  # the last column is the event's own content
                    self.tally.already_had += 1
                else:
                    chunk.set_aside.append((event.line, OTHER_CONTENT))
        return found

    def _replace(self, chunk: Chunk, table: str) -> None:
        """Take entities one after the other: of several with one key the last holds."""
        names, rows = ("tenant_no", "load_no", *COLUMNS[table]), []
        for index, tenant, values in chunk.entities[table]:
            if table == "tenant" and values[ZONE] not in self.zones:
                chunk.set_aside.append((index, "timezone: unknown to the database"))
            else:
                row = (self.tenants[tenant], self.load_no, *values)
                rows.append(dict(zip(names, row, strict=True)))
        with self.connection.cursor() as cursor:
            cursor.executemany(_upsert(table), rows)
        self.tally.taken += len(rows)

    @cached_property
    def zones(self) -> set[str]:
        """Return the time zones that this PostgreSQL knows; it may lack one that Python has."""
        return {
            name
            for (name,) in self.connection.execute("SELECT name FROM pg_catalog.pg_timezone_names")
        }

    def _set_aside(self, chunk: Chunk) -> None:
        into = "COPY kpi_admin.set_aside (loaded_at, file, line, reason, raw) FROM STDIN"
        with self.connection.cursor() as cursor, cursor.copy(into) as copy:
            now = datetime.now(UTC)
            for index, reason in sorted(chunk.set_aside):
                number = chunk.first + index
                raw = b"" if reason == FORGOTTEN else b"".join(chunk.lines[index : index + 1])
                copy.write_row((now, chunk.file, number, reason, raw[:LINE_BYTES]))
                if not self.lines:
                    self.unread.append(f"{chunk.file}: {reason}")
                elif self.tally.set_aside < REPORTED:
                    self.err(f"{chunk.file}:{number}: {reason}")
                self.tally.set_aside += 1
