"""`chatkpi refresh`: brings facts and slices up to date with what was loaded.

One transaction: whoever asks meanwhile, and whoever asks after a crash, gets the old numbers
whole. Only contacts and conversations with new events are looked at again, only rows that
differ are written, and only slices of months with such rows are built anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg.rows import TupleRow

from datasource.catalog import Catalog, Fact, in_order
from datasource.compile import compile_kpis, quote
from datasource.store import slices
from datasource.store.connection import Connection

Parameters = Sequence[object] | Mapping[str, object] | None

REFRESH_LOCK = 0x6B706901  # of a refresh or an init; loads have another, and readers need none
STARTS = """
INSERT INTO kpi_fact.experience_start AS s
SELECT tenant_no, experience, min(at) FROM new_event WHERE experience IS NOT NULL GROUP BY tenant_no, experience
ON CONFLICT (tenant_no, experience) DO UPDATE SET at = excluded.at WHERE excluded.at < s.at"""
KEYS = {"contact": "contact_no", "conversation": "conversation_no", "tenant": "tenant_no"}
# `dirty` has the months of facts whose rows changed; `touched` the keys by which one is to be written anew.
WORK = """
CREATE TEMP TABLE dirty (fact text, kind text, month date) ON COMMIT DROP;
CREATE TEMP TABLE touched (no integer, after integer, month date) ON COMMIT DROP;
SET LOCAL search_path = kpi_fact, kpi_data, kpi_admin, pg_temp
"""
MONTH = "date_trunc('month', day::timestamp)::date"


@dataclass(frozen=True)
class Report:
    """What a refresh did: new events, tenants computed anew because their zone or rule changed, slices built."""

    events: int
    recomputed: tuple[str, ...]
    slices: int


def refresh(connection: Connection, catalog: Catalog, *, full: bool = False) -> Report:
    """Brings every fact and slice up to date; `full` computes them all from the events.

    `connection` must be in autocommit mode. Waits for another refresh to end first.
    """
    connection.execute("SELECT pg_advisory_lock(%s)", [REFRESH_LOCK])
    try:
        slices.drop_retired(connection)
        # Else all blocks that VACUUM has not seen yet count as new ones.
        connection.execute("SELECT brin_summarize_new_values('kpi_data.event_load_no')")
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return _Refresh(connection, catalog, full).run()
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [REFRESH_LOCK])


class _Refresh:
    """One refresh inside its transaction."""

    def __init__(self, connection: Connection, catalog: Catalog, full: bool) -> None:
        self.connection = connection
        self.catalog = catalog
        [(after, generation, full_due)] = connection.execute(
            "SELECT load_no, generation, full_due FROM kpi_admin.state"
        )
        self.generation: int = generation + 1
        self.full: bool = full or full_due
        self.after: int = 0 if self.full else after
        self.again: list[int] = []  # tenants to compute anew
        self.moved: list[int] = []  # tenants in which staff or inboxes moved
        self.recomputed: tuple[str, ...] = ()

    def run(self) -> Report:
        [(until, stale)] = self._execute(
            "SELECT (SELECT coalesce(max(load_no), 0) FROM kpi_admin.load), EXISTS (SELECT FROM kpi_admin.kpi WHERE stale OR view_due)"
        )
        events = built = 0
        loaded = until > self.after or self.full
        if loaded or stale:
            self._execute(WORK)
            if loaded:
                [(fresh,)] = self._execute(
                    "SELECT coalesce(sum(taken), 0) FROM kpi_admin.load WHERE load_no > %s",
                    [self.after],
                )
                if fresh > 10000:
                    self._execute("ANALYZE kpi_data.event (load_no)")
                self._tenants()
                self._numbers()
                events = self._events()
                for fact in in_order(self.catalog.facts):
                    if fact.name != "event":
                        self._rewrite(fact)
            built = self._slices()
            self._execute("SELECT kpi_admin.note_values()")
        # A generation is a state of the numbers: answers may be kept for as long as it is the same.
        self._execute(
            "UPDATE kpi_admin.state SET load_no = greatest(load_no, %s), generation = generation + %s, "
            "refreshed_at = clock_timestamp(), full_due = false",
            [until, int(loaded or stale)],
        )
        return Report(events, self.recomputed, built)

    def _execute(self, statement: str, parameters: Parameters = None) -> psycopg.Cursor[TupleRow]:
        return self.connection.execute(statement.encode(), parameters)

    def _tenants(self) -> None:
        """Applies the tenants' records; those whose days or sessions change are computed anew."""
        wanted = """
            SELECT n.tenant_no, n.tenant, coalesce(t.timezone, 'UTC') AS zone, coalesce(t.business_type, 'other') AS business_type,
                coalesce(t.session_rule, 'inactivity') AS session_rule, make_interval(mins => coalesce(t.session_minutes, 30)) AS session_length
            FROM kpi_data.tenant_number AS n LEFT JOIN kpi_data.tenant AS t ON t.tenant_no = n.tenant_no"""
        for (zone,) in self._execute(f"SELECT DISTINCT zone FROM ({wanted}) AS w").fetchall():
            self._execute("SELECT kpi_admin.add_zone(%s)", [zone])
        changed = self._execute(
            f"SELECT w.tenant_no, w.tenant FROM ({wanted}) AS w JOIN kpi_fact.tenant AS t ON t.tenant_no = w.tenant_no "
            "WHERE (t.zone, t.session_rule, t.session_length) <> (w.zone, w.session_rule, w.session_length)"
        ).fetchall()
        self.again, self.recomputed = (
            [number for number, _ in changed],
            tuple(name for _, name in changed),
        )
        self._execute(
            f"""INSERT INTO kpi_fact.tenant AS t
            SELECT tenant_no, zone, kpi_admin.is_odd(zone), business_type, session_rule, session_length
            FROM ({wanted}) AS w
            ON CONFLICT (tenant_no) DO UPDATE SET zone = excluded.zone, odd = excluded.odd, business_type = excluded.business_type,
                session_rule = excluded.session_rule, session_length = excluded.session_length
            WHERE t IS DISTINCT FROM excluded"""
        )

    def _numbers(self) -> None:
        """Numbers new contacts, conversations and users; notes the tenants in which staff or inboxes moved."""
        if self.full:
            self._execute("DELETE FROM kpi_fact.contact; DELETE FROM kpi_fact.conversation")
        for table, column in (
            ("contact", "contact"),
            ("conversation", "conversation"),
            ("staff", '"user"'),
        ):
            # In the order of their first events: who is active together has neighbouring numbers.
            self._execute(
                f"""INSERT INTO kpi_fact.{table} (tenant_no, {column})
                SELECT tenant_no, {column} FROM kpi_data.event AS e WHERE load_no > %s AND {column} IS NOT NULL
                    AND NOT EXISTS (SELECT FROM kpi_fact.{table} AS k WHERE k.tenant_no = e.tenant_no AND k.{column} = e.{column})
                GROUP BY tenant_no, {column} ORDER BY tenant_no, min(at)""",
                [self.after],
            )
        guests = self._execute(
            """UPDATE kpi_fact.staff AS s SET guest = (u.role IS NOT DISTINCT FROM 'guest')
            FROM kpi_data."user" AS u WHERE u.tenant_no = s.tenant_no AND u.id = s."user" AND s.guest <> (u.role IS NOT DISTINCT FROM 'guest')
            RETURNING s.user_no"""
        ).fetchall()
        if guests:
            self._execute(
                f"INSERT INTO dirty SELECT DISTINCT 'staff', NULL, {MONTH} FROM kpi_fact.event WHERE user_no = ANY (%s)",
                [[number for (number,) in guests]],
            )
        moved = self._execute(
            """UPDATE kpi_fact.staff AS s SET department = u.department
            FROM kpi_data."user" AS u WHERE u.tenant_no = s.tenant_no AND u.id = s."user" AND s.department IS DISTINCT FROM u.department
            RETURNING s.tenant_no"""
        ).fetchall()
        moved += self._execute(
            """INSERT INTO kpi_fact.inbox AS i SELECT tenant_no, id, department FROM kpi_data.inbox
            ON CONFLICT (tenant_no, id) DO UPDATE SET department = excluded.department
            WHERE i.department IS DISTINCT FROM excluded.department RETURNING i.tenant_no"""
        ).fetchall()
        self.moved = sorted({number for (number,) in moved})

    def _events(self) -> int:
        """Takes new events into kpi_fact.event, all of a tenant that is computed anew; says how many."""
        if self.full:
            self._execute("DELETE FROM kpi_fact.event; DELETE FROM kpi_fact.experience_start")
        elif self.again:
            self._dirty(
                "event",
                "DELETE FROM kpi_fact.event WHERE tenant_no = ANY (%s) RETURNING kind, day",
                [self.again],
            )
        self._execute(
            "INSERT INTO touched (no, after) SELECT tenant_no, CASE WHEN tenant_no = ANY (%s) THEN 0 ELSE %s END FROM kpi_data.tenant_number",
            [self.again, self.after],
        )
        self._execute("ANALYZE touched")
        self._execute(
            "SELECT set_config('kpi.after', %s, true)", [str(0 if self.again else self.after)]
        )
        select = self.catalog.facts["event"].select
        self._execute(f"CREATE TEMP TABLE new_event ON COMMIT DROP AS {select}; ANALYZE new_event")
        count = self._execute("INSERT INTO kpi_fact.event SELECT * FROM new_event").rowcount
        if count > 10000:
            self._execute("ANALYZE kpi_fact.event, kpi_fact.contact, kpi_fact.conversation")
        self._execute(STARTS)
        self._dirty("event", "SELECT kind, day FROM new_event")
        return count

    def _dirty(self, fact: str, rows: str, parameters: Sequence[object] = ()) -> None:
        """Notes the months of some rows (kind, day) of a fact."""
        self._execute(
            f"WITH rows AS ({rows}) INSERT INTO dirty SELECT DISTINCT %s, kind, {MONTH} FROM rows",
            [*parameters, fact],
        )

    def _touch(self, fact: Fact) -> None:
        """Fills `touched` with the keys by which a fact is to be written anew."""
        self._execute("TRUNCATE touched")
        if fact.key in ("contact", "conversation"):
            key = KEYS[fact.key]
            kinds = "" if fact.reads == ("any",) else "AND kind = ANY (%(kinds)s)"
            after_sales = fact.name.startswith("after_sales") and self.moved and not self.full
            self._execute(
                f"INSERT INTO touched (no) SELECT DISTINCT {key} FROM new_event WHERE {key} IS NOT NULL {kinds}"
                + (
                    " UNION SELECT conversation_no FROM after_sales WHERE tenant_no = ANY (%(moved)s)"
                    if after_sales
                    else ""
                ),
                {"kinds": list(fact.reads), "moved": self.moved},
            )
        elif fact.key == "tenant":
            self._execute(
                "INSERT INTO touched (no) SELECT DISTINCT tenant_no FROM kpi_data.potential WHERE load_no > %s OR tenant_no = ANY (%s)",
                [self.after, self.again],
            )
        elif fact.key == "month":
            self._execute(
                "INSERT INTO touched (month) SELECT DISTINCT month FROM dirty WHERE fact = 'counted_visit' OR fact = 'conversation_event' AND kind = 'result'"
            )
        self._execute("ANALYZE touched")

    def _rewrite(self, fact: Fact) -> None:
        """Writes a fact anew for what was touched: rows that differ, and no others."""
        self._touch(fact)
        table = f"kpi_fact.{quote(fact.name)}"
        kind = "NULL::text" if fact.key == "month" else "kind"
        if self.full:
            self._execute(
                f"DELETE FROM {table}; INSERT INTO {table} {fact.select}; ANALYZE {table}"
            )
            self._dirty(fact.name, f"SELECT {kind} AS kind, day FROM {table}")
            return
        if fact.key in KEYS:
            scope = f"old.{KEYS[fact.key]} IN (SELECT no FROM touched)"
            same_key = f"fresh.{KEYS[fact.key]} = old.{KEYS[fact.key]} AND fresh.id = old.id"
        else:
            scope = "old.day IN (SELECT month FROM touched)" if fact.key == "month" else "true"
            same_key = "fresh.tenant_no = old.tenant_no AND fresh.day = old.day"
        same = f"{same_key} AND ROW(fresh.*) IS NOT DISTINCT FROM ROW(old.*)"
        self._execute("DROP TABLE IF EXISTS fresh")
        self._execute(f"CREATE TEMP TABLE fresh ON COMMIT DROP AS {fact.select}; ANALYZE fresh")
        gone = f"DELETE FROM {table} AS old WHERE {scope} AND NOT EXISTS (SELECT FROM fresh WHERE {same})"
        come = f"INSERT INTO {table} SELECT * FROM fresh WHERE NOT EXISTS (SELECT FROM {table} AS old WHERE {same})"
        for change in (gone, come):
            self._dirty(fact.name, f"{change} RETURNING {kind} AS kind, day")

    def _slices(self) -> int:
        """Builds the slices of every KPI whose facts changed, and moves the public views on to them."""
        every = compile_kpis(self.catalog)
        stale = {
            kpi_id
            for (kpi_id,) in self._execute(
                "SELECT kpi_id FROM kpi_admin.kpi WHERE stale"
            ).fetchall()
        }
        changed: dict[str, set[date]] = {}
        for fact, kind, month in self._execute("SELECT DISTINCT fact, kind, month FROM dirty"):
            changed.setdefault(fact, set()).add(month)
            changed.setdefault(f"{fact}:{kind}", set()).add(month)
        built, moved = 0, set()
        for compiled in every.values():
            kpi_id = compiled.kpi.kpi_id
            if compiled.fold == "ratio":
                continue
            months = set().union(*(changed.get(read, set()) for read in compiled.reads))
            if self.full or kpi_id in stale:
                slices.forget(self.connection, kpi_id)
                if kpi_id in stale and not self.full:
                    months = {
                        m
                        for (m,) in self._execute(
                            f"SELECT DISTINCT date_trunc('month', local_day::timestamp)::date FROM kpi_hits.{quote(kpi_id)}"
                        )
                    }
                moved.add(kpi_id)
            if months:
                built += slices.rebuild(self.connection, compiled, months, self.generation)
                moved.add(kpi_id)
        moved |= {
            kpi_id
            for (kpi_id,) in self._execute(
                "SELECT kpi_id FROM kpi_admin.kpi WHERE view_due"
            ).fetchall()
        }
        which = [c for c in every.values() if moved.intersection((c.kpi.kpi_id, *c.parts))]
        slices.replace_views(self.connection, every, which)
        self._execute("UPDATE kpi_admin.kpi SET stale = false WHERE stale")
        return built
