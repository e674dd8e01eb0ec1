"""Writing chunks of parsed records into the raw tables, a transaction for each batch of them."""

from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import LiteralString, NamedTuple

import psycopg
from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow

from datasource.store.lines import LINE_BYTES, Chunk, Entity
from datasource.store.records import COLUMNS, EVENT

Connection = psycopg.Connection[TupleRow]

BATCH_LINES = 200_000
SHOWN = 100  # records set aside that are told of one by one

# One statement, so that every row is looked up once: what is new is added, the others are told
# apart. The lookup is lateral for PostgreSQL to use the key and never read the whole table.
MERGE: LiteralString = """
WITH ranked AS (
    SELECT s.line, s.content, e.content AS had,
        first_value(s.content) OVER same AS first, row_number() OVER same AS place
    FROM pg_temp.staged_event AS s
    LEFT JOIN LATERAL (
        SELECT content FROM kpi_data.event WHERE tenant_no = s.tenant_no AND id = s.id LIMIT 1
    ) AS e ON true
    WINDOW same AS (PARTITION BY s.tenant_no, s.id ORDER BY s.line)
), added AS (
    INSERT INTO kpi_data.event ({columns})
    SELECT {columns} FROM pg_temp.staged_event
    WHERE line IN (SELECT line FROM ranked WHERE had IS NULL AND place = 1)
    RETURNING 1
)
SELECT (SELECT count(*) FROM added),
    count(*) FILTER (WHERE content = coalesce(had, first)),
    coalesce(array_agg(line ORDER BY line) FILTER (WHERE content <> coalesce(had, first)), '{{}}')
FROM ranked WHERE had IS NOT NULL OR place > 1
"""
UPSERT: LiteralString = """
INSERT INTO {table} AS t ({columns}) SELECT {values}
FROM {staged} AS s LEFT JOIN {table} AS k USING ({key})
ON CONFLICT ({key}) DO UPDATE SET ({columns}) = ROW ({new})
"""
# A bot keeps its first name, and is described by it unless the record says otherwise.
KEPT: dict[tuple[str, str], LiteralString] = {
    ("bot", "name"): "coalesce(k.name, s.name)",
    ("bot", "description"): "coalesce(s.description, k.name, s.name)",
}


class Counts(NamedTuple):
    """What became of a load's records."""

    taken: int = 0
    already_had: int = 0
    set_aside: int = 0

    def plus(self, taken: int = 0, already_had: int = 0, set_aside: int = 0) -> "Counts":
        """Return the counts with some more of each."""
        return Counts(
            self.taken + taken, self.already_had + already_had, self.set_aside + set_aside
        )


class Batches:
    """Takes chunks one after the other. The caller holds the lock of loads."""

    def __init__(self, connection: Connection, err: Callable[[str], None]) -> None:
        self.counts = Counts()
        self.lines = 0
        self.broken: str | None = None  # the first file that could not be read to its end
        self._connection = connection
        self._err = err
        self._load_no = 0
        self._tenants: dict[str, int] = {}
        self._staged: set[str] = set()
        self._zones: frozenset[str] | None = None
        self._repeats = False  # the last chunk had some, so the next one may

    def commit(self, parsed: Iterator[Chunk]) -> Generator[int, None, None]:
        """Write the chunks; give, for each, the bytes read so far."""
        chunk = next(parsed, None)
        while chunk is not None:
            with self._connection.transaction():
                before, end = self.counts, self.lines + BATCH_LINES
                self._begin()
                while chunk is not None and self.lines < end:
                    self._take(chunk)
                    yield chunk.done
                    chunk = next(parsed, None)
                self._end(before)

    def _begin(self) -> None:
        """Start a load row, whose number becomes visible together with its events."""
        self._staged.clear()
        row = self._connection.execute(
            "INSERT INTO kpi_admin.load DEFAULT VALUES RETURNING load_no"
        ).fetchone()
        assert row
        self._load_no = row[0]

    def _end(self, before: Counts) -> None:
        counts = [after - earlier for after, earlier in zip(self.counts, before, strict=True)]
        self._connection.execute(
            "UPDATE kpi_admin.load SET loaded_at = clock_timestamp(), "
            "taken = %s, already_had = %s, set_aside = %s WHERE load_no = %s",
            [*counts, self._load_no],
        )

    def _take(self, chunk: Chunk) -> None:
        self.lines += len(chunk.lines)
        self._number_tenants(chunk)
        if chunk.events and (self._repeats or not self._append(chunk)):
            self._merge(chunk)
        for kind, entities in chunk.entities.items():
            self._replace(
                kind, self._with_known_zone(chunk, entities) if kind == "tenant" else entities
            )
        if chunk.broken:
            self.broken = self.broken or f"{chunk.file}: {chunk.broken}"
            chunk.set_aside.append((len(chunk.lines), chunk.broken))
        if chunk.set_aside:
            self._set_aside(chunk)

    def _number_tenants(self, chunk: Chunk) -> None:
        named = {entity.tenant for of_kind in chunk.entities.values() for entity in of_kind}
        new = [name for name in named | chunk.events.keys() if name not in self._tenants]
        if not new:
            return
        self._connection.execute(
            "INSERT INTO kpi_data.tenant_number (tenant) "
            "SELECT name FROM unnest(%s::text[]) AS name "
            "WHERE NOT EXISTS (SELECT FROM kpi_data.tenant_number WHERE tenant = name) "
            "ORDER BY name ON CONFLICT DO NOTHING",
            [new],
        )
        known = self._connection.execute(
            "SELECT tenant, tenant_no FROM kpi_data.tenant_number WHERE tenant = ANY (%s)", [new]
        )
        self._tenants |= dict(known.fetchall())

    def _append(self, chunk: Chunk) -> bool:
        """Copy the events straight into their table, which fails when it has one of them."""
        parts: list[str] = []
        for tenant, (rows, _) in chunk.events.items():
            start = f"{self._tenants[tenant]}\t{self._load_no}\t"
            parts += (start, f"\n{start}".join(rows), "\n")
        try:
            with self._connection.transaction():
                self._copy(_copy_into(sql.Identifier("kpi_data", EVENT), EVENT), "".join(parts))
        except UniqueViolation:
            return False
        self.counts = self.counts.plus(sum(len(rows) for rows, _ in chunk.events.values()))
        return True

    def _merge(self, chunk: Chunk) -> None:
        """Take the events that are new, and tell repeats from conflicts among the others."""
        self._stage(
            EVENT,
            (
                f"{index}\t{self._tenants[tenant]}\t{self._load_no}\t{row}\n"
                for tenant, (rows, indexes) in chunk.events.items()
                for row, index in zip(rows, indexes, strict=True)
            ),
        )
        found = self._connection.execute(sql.SQL(MERGE).format(columns=_columns(EVENT))).fetchone()
        assert found
        taken, same, others = found
        self.counts = self.counts.plus(taken, same)
        chunk.set_aside += [(index, "id: taken by another content") for index in others]
        self._repeats = bool(same or others)

    def _with_known_zone(self, chunk: Chunk, tenants: list[Entity]) -> list[Entity]:
        """Set tenants aside whose time zone this PostgreSQL does not know, were it an IANA one."""
        if self._zones is None:
            rows = self._connection.execute("SELECT name FROM pg_timezone_names").fetchall()
            self._zones = frozenset(name for (name,) in rows)
        known: list[Entity] = []
        for tenant in tenants:
            if tenant.row.split("\t")[COLUMNS["tenant"].index("timezone")] in self._zones:
                known.append(tenant)
            else:
                chunk.set_aside.append((tenant.index, "timezone: unknown to the database"))
        return known

    def _replace(self, kind: str, entities: list[Entity]) -> None:
        """Take entities; of several with one key the last holds."""
        latest: dict[tuple[str, str], str] = {}
        for entity in entities:
            place = entity.tenant, entity.key
            row = entity.row
            if kind == "bot" and place in latest:
                row = _renamed(row, latest[place])
            latest[place] = row
        self._stage(
            kind,
            (
                f"{self._tenants[tenant]}\t{self._load_no}\t{row}\n"
                for (tenant, _), row in latest.items()
            ),
        )
        self._connection.execute(_upsert(kind))
        self.counts = self.counts.plus(len(entities))

    def _stage(self, kind: str, rows: Iterable[str]) -> None:
        """Fill a temporary table like the kind's own, for events with the line before."""
        staged = _staged(kind)
        more = ["line"] if kind == EVENT else []
        if kind in self._staged:
            self._connection.execute(sql.SQL("TRUNCATE {}").format(staged))
        else:
            self._connection.execute(
                sql.SQL("CREATE TEMP TABLE {} ({} LIKE kpi_data.{}) ON COMMIT DROP").format(
                    sql.Identifier(f"staged_{kind}"),
                    sql.SQL("line integer,") if more else sql.SQL(""),
                    sql.Identifier(kind),
                )
            )
            self._staged.add(kind)
        self._copy(_copy_into(staged, kind, *more), "".join(rows))

    def _set_aside(self, chunk: Chunk) -> None:
        chunk.set_aside.sort()
        into = (
            "COPY kpi_admin.set_aside (loaded_at, file, line, reason, raw) FROM STDIN (FORMAT text)"
        )
        with self._connection.cursor() as cursor, cursor.copy(into) as copy:
            now = datetime.now(UTC)
            for shown, (index, reason) in enumerate(chunk.set_aside, self.counts.set_aside):
                number = chunk.first + index
                raw = b"".join(chunk.lines[index : index + 1])
                copy.write_row((now, chunk.file, number, reason, raw[:LINE_BYTES]))
                if shown < SHOWN:
                    self._err(f"{chunk.file}:{number}: {reason}")
        self.counts = self.counts.plus(set_aside=len(chunk.set_aside))

    def _copy(self, statement: sql.Composed, rows: str) -> None:
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(rows)


def _renamed(row: str, earlier: str) -> str:
    """Return a bot's row with the name of an earlier one."""
    values, place = row.split("\t"), COLUMNS["bot"].index("name")
    values[place] = earlier.split("\t")[place]
    return "\t".join(values)


def _staged(kind: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"staged_{kind}")


def _columns(kind: str, *more: str) -> sql.Composed:
    names = (*more, "tenant_no", "load_no", *COLUMNS[kind])
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _copy_into(table: sql.Identifier, kind: str, *more: str) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(table, _columns(kind, *more))


@cache
def _upsert(kind: str) -> sql.Composed:
    names = ("tenant_no", "load_no", *COLUMNS[kind])
    key = {"tenant": ["tenant_no"], "potential": ["tenant_no", "month"]}.get(
        kind, ["tenant_no", "id"]
    )
    return sql.SQL(UPSERT).format(
        table=sql.Identifier("kpi_data", kind),
        staged=_staged(kind),
        columns=_columns(kind),
        key=sql.SQL(", ").join(map(sql.Identifier, key)),
        values=sql.SQL(", ").join(
            sql.SQL(KEPT[kind, name]) if (kind, name) in KEPT else sql.Identifier("s", name)
            for name in names
        ),
        new=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in names),
    )
