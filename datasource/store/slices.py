"""The materialized views: a KPI's rows in slices of one or more local months (`spans.py`).

A slice is never changed. A refresh builds the slices that are out of date under new names and
points kpi_admin.slice at them in the same transaction; queries find names there, so they see
all of a refresh or nothing of it, and never wait. What nothing points to is dropped later.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from zlib import crc32

from psycopg import sql

from datasource.compile import CountedKpi, slice_select
from datasource.store.connection import Connection, run
from datasource.store.spans import Span, plan

TIDY_EVERY = 16  # refreshes
ALL_TIME = Span(date(2000, 1, 1), date(2101, 2, 1), due=True, changed=True)


def forget(connection: Connection, kpi_id: str) -> None:
    """Retire all of a KPI's slices."""
    _retire(connection, kpi_id, Span(date.min, date.max))
    connection.execute("SELECT kpi_admin.unfold(%s)", [kpi_id])


def _retire(connection: Connection, kpi_id: str, span: Span) -> None:
    connection.execute(
        "WITH old AS (DELETE FROM kpi_admin.slice "
        "WHERE kpi_id = %s AND first < %s AND last > %s RETURNING relation) "
        "INSERT INTO kpi_admin.retired_slice SELECT relation FROM old",
        [kpi_id, span.last, span.first],
    )


@dataclass(frozen=True)
class Builder:
    """Builds a KPI's slices in a refresh.

    hits_schema: where its view of hits is; generation: the refresh's number, which makes names new;
    rows: how many each fact has, by fact and by `fact:kind`, of each month; now: today.
    """

    connection: Connection
    compiled: CountedKpi
    hits_schema: str
    generation: int
    rows: Mapping[str, Mapping[date, int]]
    now: date

    @property
    def kpi_id(self) -> str:
        """The KPI's id."""
        return self.compiled.kpi.kpi_id

    def build(self, changed: Collection[date] | None) -> int:
        """Build the slices in whose local months something changed (None: all); return how many."""
        spans = [ALL_TIME]
        if self.compiled.fold not in ("value", "level"):
            # Not all KPIs at once: history has grown enough for all of them on the same day.
            tidy = (self.generation + crc32(self.kpi_id.encode())) % TIDY_EVERY == 0
            spans = plan(self._rows_by_month(), self._standing(), changed, self.now, tidy=tidy)
        for span in spans:
            _retire(self.connection, self.kpi_id, span)
            self._build(span)
        return len(spans)

    def _standing(self) -> list[Span]:
        rows = self.connection.execute(
            "SELECT first, last FROM kpi_admin.slice WHERE kpi_id = %s", [self.kpi_id]
        )
        return [Span(first, last) for first, last in rows]

    def _rows_by_month(self) -> dict[date, int]:
        """Return at most how many rows of its facts the KPI counts, by month."""
        found: Counter[date] = Counter()
        for read in self.compiled.reads:
            found.update(self.rows.get(read, {}))
        return found

    def _build(self, span: Span) -> None:
        relation = f"{self.kpi_id}_{span.first:%Y_%m}_{self.generation}"
        view = sql.Identifier("kpi_slice", relation).as_string(self.connection)
        select = slice_select(self.compiled, span.first, span.last, self.hits_schema)
        run(self.connection, f"CREATE MATERIALIZED VIEW {view} AS {select}")
        [(rows, newest)] = run(
            self.connection, f"SELECT count(*), max(newest) FROM {view}"
        ).fetchall()
        if rows:
            run(self.connection, f"CREATE INDEX ON {view} (tenant_no, day)")
            self.connection.execute(
                "INSERT INTO kpi_admin.slice (kpi_id, first, last, relation, newest_event) "
                "VALUES (%s, %s, %s, %s, %s)",
                [self.kpi_id, span.first, span.last, relation, newest],
            )
        else:
            run(self.connection, f"DROP MATERIALIZED VIEW {view}")
        if span.changed and self.compiled.fold not in ("value", "level"):
            self.connection.execute(
                "SELECT kpi_admin.fold(%s, %s, %s, %s)",
                [self.kpi_id, span.first, span.last, relation if rows else None],
            )
