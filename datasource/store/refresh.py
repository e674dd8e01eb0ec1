"""`chatkpi refresh`: brings facts and slices up to date with what was loaded.

One transaction: whoever asks meanwhile, and whoever asks after a crash, gets the old numbers
whole. Only contacts and conversations with new events are looked at again, only rows that
differ are written, and only slices of months with such rows are built anew. How many tables that
makes, and so how many locks the transaction holds, depends on how much data there is, not on the
dates that it has (`slices.py`).
"""

from dataclasses import dataclass
from datetime import date

import psycopg

from datasource.catalog import Catalog
from datasource.compile import Compiled, CountedKpi, compile_kpis
from datasource.store import definitions, facts, locks, rights, slices, standing
from datasource.store.connection import Connection, run
from datasource.store.definitions import Prepared
from datasource.store.errors import StoreError
from datasource.store.load import discard_set_aside
from datasource.store.public_views import replace_views
from datasource.store.retired import drop_retired
from datasource.store.turns import turn

MANY_EVENTS = 10_000


@dataclass(frozen=True)
class Report:
    """What a refresh did.

    events: new ones; recomputed: tenants whose zone or session rule had changed; slices: built.
    """

    events: int
    recomputed: tuple[str, ...]
    slices: int


def refresh(connection: Connection, catalog: Catalog, *, full: bool = False) -> Report:
    """Bring every fact and slice up to date; `full` computes them all from the events.

    `connection` must be in autocommit mode. Waits for another refresh to end first. Raises
    StoreError when the database was set up with other definitions than the catalogue's.
    """
    with turn(connection, "refresh"):
        discard_set_aside(connection)
        standing.heal_slices(connection)
        drop_retired(connection)
        # Else all blocks that VACUUM has not seen yet count as new ones.
        connection.execute("SELECT brin_summarize_new_values('kpi_data.event_load_no')")
        try:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                return _Refresh(connection, catalog, full).run()
        except psycopg.errors.OutOfMemory as error:
            if "shared memory" not in str(error):
                raise
            hint = locks.advice(connection, failed=True)
            raise StoreError("the server has too few locks for this refresh", hint) from error


class _Refresh:
    """One refresh inside its transaction."""

    def __init__(self, connection: Connection, catalog: Catalog, full: bool) -> None:
        self.connection = connection
        self.catalog = catalog
        self.every: dict[str, Compiled] = {}
        self.full = full
        self.prepared: Prepared | None = None

    def run(self) -> Report:
        """Do what is due."""
        rights.act_as_owner(self.connection)
        definitions.check_same(self.connection, self.catalog)
        [(after, until, old_events, new_events, unpublished, full_due, stale, erased)] = run(
            self.connection,
            "SELECT state.load_no, coalesce(max(load.load_no), 0), "
            "coalesce(sum(taken) FILTER (WHERE load.load_no <= state.load_no), 0), "
            "coalesce(sum(taken) FILTER (WHERE load.load_no > state.load_no), 0), "
            "state.publish_due, state.full_due, "
            "EXISTS (SELECT FROM kpi_admin.kpi WHERE stale OR view_due), "
            "EXISTS (SELECT FROM kpi_admin.erased_event) "
            "FROM kpi_admin.state LEFT JOIN kpi_admin.load ON true GROUP BY state.one",
        ).fetchall()
        if self.full or full_due or until > after or stale or unpublished or erased:
            self.every = compile_kpis(self.catalog)
        if unpublished:
            self.prepared = definitions.prepare(self.connection, self.catalog, self.every)
        [(full_due, generation)] = run(
            self.connection, "SELECT full_due, generation FROM kpi_admin.state"
        ).fetchall()
        # Working out what more events than there are change costs more than computing all anew.
        self.full = self.full or full_due or new_events > max(old_events, MANY_EVENTS)
        loaded = self.full or until > after or erased
        due = loaded or stale or unpublished
        report = Report(0, (), 0)
        if due:
            if new_events > MANY_EVENTS:
                run(self.connection, "ANALYZE kpi_data.event (load_no)")
            report = self._bring_up_to_date(after, generation + 1, loaded)
        # A generation is a state of the numbers: answers may be kept for as long as it is the same.
        run(
            self.connection,
            "UPDATE kpi_admin.state SET load_no = greatest(load_no, %s), "
            "generation = generation + %s, refreshed_at = clock_timestamp(), full_due = false",
            [until, int(due)],
        )
        return report

    def _bring_up_to_date(self, after: int, generation: int, loaded: bool) -> Report:
        """Write facts, slices and what is made from them, as the given generation."""
        facts.begin(self.connection, self.catalog)
        events, recomputed = 0, tuple[str, ...]()
        if loaded:
            writer = facts.Facts(self.connection, self.catalog, after, self.full)
            events, recomputed = writer.write(), writer.recomputed
        built = self._slices(generation)
        run(self.connection, "SELECT kpi_admin.note_values()")
        return Report(events, recomputed, built)

    def _slices(self, generation: int) -> int:
        """Build the slices of KPIs whose facts changed, and move the public views on to them."""
        stale = self._kpis_that_are("stale")
        late = self._kpis_that_are("view_due")
        changed, rows = self._changed_months(), facts.rows_by_month(self.connection)
        [(now,)] = run(self.connection, "SELECT kpi_admin.now()::date").fetchall()
        built, moved = 0, stale | late
        for kpi_id, compiled in self.every.items():
            if not isinstance(compiled, CountedKpi):
                continue
            months = set[date]().union(*(changed.get(read, set()) for read in compiled.reads))
            anew = self.full or kpi_id in stale
            if anew:
                slices.forget(self.connection, kpi_id)
                moved.add(kpi_id)
            if anew or months:
                hits = "kpi_hits"
                if self.prepared and kpi_id in self.prepared.kpis:
                    hits = "kpi_next_hits"
                builder = slices.Builder(self.connection, compiled, hits, generation, rows, now)
                built += builder.build(None if anew else months)
                moved.add(kpi_id)
        if self.prepared:
            definitions.publish(self.connection, self.catalog, self.every, self.prepared)
        which = [k for k, c in self.every.items() if moved.intersection((k, *c.parts))]
        replace_views(self.connection, self.every, which, changed=stale | late)
        run(self.connection, "UPDATE kpi_admin.kpi SET stale = false WHERE stale")
        return built

    def _kpis_that_are(self, column: str) -> set[str]:
        rows = run(self.connection, f"SELECT kpi_id FROM kpi_admin.kpi WHERE {column}")
        return {kpi_id for (kpi_id,) in rows}

    def _changed_months(self) -> dict[str, set[date]]:
        """Return the months in which facts changed, by fact and by `fact:kind`."""
        changed: dict[str, set[date]] = {}
        rows = run(self.connection, "SELECT DISTINCT fact, kind, month FROM dirty")
        for fact, kind, month in rows:
            changed.setdefault(fact, set()).add(month)
            changed.setdefault(f"{fact}:{kind}", set()).add(month)
        return changed
