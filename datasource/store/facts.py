"""The facts in a refresh: tenants, numbers and fact tables, brought up to date with the loads.

Everything here runs inside the refresh's transaction, whose temporary tables hand on what is to
be done: `touched` has the keys by which a fact is written anew, and the SELECTs in views/facts
join it; `dirty` has the months in which rows of a fact changed, and by how many.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date

import psycopg
from psycopg.rows import TupleRow

from datasource.catalog import Catalog, Fact, in_order
from datasource.compile import quote
from datasource.store.connection import Connection, Parameters, run
from datasource.store.definitions import SEARCH_PATH, TOUCHED

DIRTY = "CREATE TEMP TABLE dirty (fact text, kind text, month date, rows bigint) ON COMMIT DROP"
# Events that `forget` took out of the fact `event` since the last refresh.
ERASED = "CREATE TEMP TABLE erased ON COMMIT DROP AS TABLE kpi_admin.erased_event"
# The column that a fact's key is in.
KEY_COLUMNS = {"contact": "contact_no", "conversation": "conversation_no", "tenant": "tenant_no"}
# How many rows have to come, at least and as a share of a table, for its statistics to be made
# anew: else the planner takes a table for as small as it was, and joins it in a nested loop.
MANY_ROWS, LARGE_SHARE = 10_000, 0.1

# The tenants as their records have them, with what a record leaves open.
WANTED_TENANTS = """
SELECT number.tenant_no, number.tenant, coalesce(record.timezone, 'UTC') AS zone,
    coalesce(record.business_type, 'other') AS business_type,
    coalesce(record.session_rule, 'inactivity') AS session_rule,
    make_interval(mins => coalesce(record.session_minutes, 30)) AS session_length
FROM kpi_data.tenant_number AS number
LEFT JOIN kpi_data.tenant AS record ON record.tenant_no = number.tenant_no"""
CHANGED_TENANTS = f"""
SELECT wanted.tenant_no, wanted.tenant
FROM ({WANTED_TENANTS}) AS wanted JOIN kpi_fact.tenant AS applied USING (tenant_no)
WHERE (applied.zone, applied.session_rule, applied.session_length)
    <> (wanted.zone, wanted.session_rule, wanted.session_length)"""
APPLY_TENANTS = f"""
INSERT INTO kpi_fact.tenant AS applied
SELECT tenant_no, zone, kpi_admin.is_odd(zone), business_type, session_rule, session_length
FROM ({WANTED_TENANTS}) AS wanted
ON CONFLICT (tenant_no) DO UPDATE SET zone = excluded.zone, odd = excluded.odd,
    business_type = excluded.business_type, session_rule = excluded.session_rule,
    session_length = excluded.session_length
WHERE applied IS DISTINCT FROM excluded"""

# In the order of their first events: those who are active together have neighbouring numbers.
NUMBER = """
INSERT INTO kpi_fact.{table} (tenant_no, {column})
SELECT tenant_no, {column} FROM kpi_data.event AS event
WHERE load_no > %s AND {column} IS NOT NULL AND NOT EXISTS (
    SELECT FROM kpi_fact.{table} AS known
    WHERE known.tenant_no = event.tenant_no AND known.{column} = event.{column}
)
GROUP BY tenant_no, {column} ORDER BY tenant_no, min(at)"""
NUMBERED = (("contact", "contact"), ("conversation", "conversation"), ("staff", '"user"'))
APPLY_GUESTS = """
UPDATE kpi_fact.staff AS staff SET guest = (record.role IS NOT DISTINCT FROM 'guest')
FROM kpi_data."user" AS record
WHERE record.tenant_no = staff.tenant_no AND record.id = staff."user"
    AND staff.guest <> (record.role IS NOT DISTINCT FROM 'guest')
RETURNING staff.user_no"""
# Where users and inboxes were when last applied: the tenants in which some have moved since.
APPLY_PLACES = {
    "user": """
UPDATE kpi_fact.staff AS staff SET department = record.department
FROM kpi_data."user" AS record
WHERE record.tenant_no = staff.tenant_no AND record.id = staff."user"
    AND staff.department IS DISTINCT FROM record.department
RETURNING staff.tenant_no""",
    "inbox": """
INSERT INTO kpi_fact.inbox AS applied SELECT tenant_no, id, department FROM kpi_data.inbox
ON CONFLICT (tenant_no, id) DO UPDATE SET department = excluded.department
WHERE applied.department IS DISTINCT FROM excluded.department
RETURNING applied.tenant_no""",
}
STARTS = """
INSERT INTO kpi_fact.experience_start AS start
SELECT tenant_no, experience, min(at) FROM new_event
WHERE experience IS NOT NULL GROUP BY tenant_no, experience
ON CONFLICT (tenant_no, experience) DO UPDATE SET at = excluded.at WHERE excluded.at < start.at"""

MONTH = "date_trunc('month', day::timestamp)::date"
COUNT_MONTHS = f"""
INSERT INTO kpi_admin.fact_month (fact, kind, month, rows)
SELECT %(fact)s, {{kind}}, {MONTH}, count(*) FROM {{table}}
WHERE NOT EXISTS (SELECT FROM kpi_admin.fact_month WHERE fact = %(fact)s)
GROUP BY 2, 3"""
ADD_MONTHS = """
INSERT INTO kpi_admin.fact_month AS known (fact, kind, month, rows)
SELECT fact, coalesce(kind, ''), month, sum(rows) FROM dirty GROUP BY 1, 2, 3
ON CONFLICT (fact, kind, month) DO UPDATE SET rows = known.rows + excluded.rows"""


class Facts:
    """The facts in one refresh; `write` does it all.

    after: the last load that they hold already; full: all are computed from the events anew.
    Afterwards `recomputed` names the tenants whose zone or session rule had changed.
    """

    def __init__(self, connection: Connection, catalog: Catalog, after: int, full: bool) -> None:
        self.connection = connection
        self.catalog = catalog
        self.after = 0 if full else after
        self.full = full
        self.again: list[int] = []  # tenants to compute anew
        self.moved: dict[str, list[int]] = {}  # by record type: tenants in which some moved
        self.recomputed: tuple[str, ...] = ()

    def write(self) -> int:
        """Bring every fact up to date; return how many events are new in them."""
        self._tenants()
        self._numbers()
        count = self._events()
        for fact in in_order(self.catalog.facts):
            if fact.key != "event":
                self._rewrite(fact)
        self._count_months()
        return count

    def _run(self, statement: str, parameters: Parameters = None) -> psycopg.Cursor[TupleRow]:
        return run(self.connection, statement, parameters)

    def _tenants(self) -> None:
        """Apply the tenants' records; those whose days or sessions change are computed anew."""
        for (zone,) in self._run(f"SELECT DISTINCT zone FROM ({WANTED_TENANTS}) AS t").fetchall():
            self._run("SELECT kpi_admin.add_zone(%s)", [zone])
        changed = self._run(CHANGED_TENANTS).fetchall()
        self.again = [number for number, _ in changed]
        self.recomputed = tuple(name for _, name in changed)
        self._run(APPLY_TENANTS)

    def _numbers(self) -> None:
        """Give numbers to what is new, and note where users and inboxes moved."""
        if self.full:
            self._run("DELETE FROM kpi_fact.contact; DELETE FROM kpi_fact.conversation")
        for table, column in NUMBERED:
            numbered = self._run(NUMBER.format(table=table, column=column), [self.after])
            self._analyze(f"kpi_fact.{table}", numbered.rowcount)
        guests = [number for (number,) in self._run(APPLY_GUESTS).fetchall()]
        if guests:
            self._run(
                f"INSERT INTO dirty SELECT DISTINCT 'staff', '', {MONTH}, 0 "
                "FROM event WHERE user_no = ANY (%s)",
                [guests],
            )
        for record, statement in APPLY_PLACES.items():
            self.moved[record] = sorted({number for (number,) in self._run(statement).fetchall()})

    def _events(self) -> int:
        """Take new events into the fact `event`, all of a tenant that is computed anew."""
        [base] = [fact for fact in self.catalog.facts.values() if fact.key == "event"]
        if self.full:
            self._run("DELETE FROM event; DELETE FROM kpi_fact.experience_start")
        elif self.again:
            self._change(base, "DELETE FROM event WHERE tenant_no = ANY (%s)", [self.again])
        self._run(
            "INSERT INTO touched (no, after) "
            "SELECT tenant_no, CASE WHEN tenant_no = ANY (%s) THEN 0 ELSE %s END "
            "FROM kpi_data.tenant_number",
            [self.again, self.after],
        )
        self._run("ANALYZE touched")
        earliest = 0 if self.again else self.after
        self._run("SELECT set_config('kpi.after', %s, true)", [str(earliest)])
        self._run(f"CREATE TEMP TABLE new_event ON COMMIT DROP AS {base.select}")
        self._run("ANALYZE new_event")
        count = self._run("INSERT INTO event SELECT * FROM new_event").rowcount
        self._analyze("event", count)
        self._run(STARTS)
        self._dirty(base, "SELECT kind, day FROM new_event", "count(*)")
        if not self.full:  # else all are counted from nothing
            self._dirty(base, "SELECT kind, day FROM erased", "-count(*)")
        self._run("DELETE FROM kpi_admin.erased_event")
        return count

    def _touch(self, fact: Fact) -> None:
        """Fill `touched` with the keys by which a fact is to be written anew."""
        self._run("TRUNCATE touched")
        if fact.key in ("contact", "conversation"):
            column = KEY_COLUMNS[fact.key]
            kinds = "" if fact.reads == ("any",) else "AND kind = ANY (%(kinds)s)"
            moved = {number for record in fact.joins for number in self.moved[record]}
            also = (
                f"UNION SELECT {column} FROM {quote(fact.name)} WHERE tenant_no = ANY (%(moved)s)"
            )
            self._run(
                f"INSERT INTO touched (no) SELECT {column} FROM new_event "
                f"WHERE {column} IS NOT NULL {kinds} "
                f"UNION SELECT {column} FROM erased WHERE {column} IS NOT NULL {kinds} "
                f"{also if moved and not self.full else ''}",
                {"kinds": list(fact.reads), "moved": sorted(moved)},
            )
        elif fact.key == "tenant":
            self._run(
                "INSERT INTO touched (no) SELECT DISTINCT tenant_no FROM kpi_data.potential "
                "WHERE load_no > %s OR tenant_no = ANY (%s)",
                [self.after, self.again],
            )
        elif fact.key == "month":
            self._run(
                "INSERT INTO touched (month) SELECT DISTINCT month FROM dirty "
                "WHERE fact = ANY (%(reads)s) OR fact || ':' || kind = ANY (%(reads)s)",
                {"reads": list(fact.reads)},
            )
        self._run("ANALYZE touched")

    def _rewrite(self, fact: Fact) -> None:
        """Write a fact anew for what was touched: rows that differ, and no others."""
        self._touch(fact)
        table = quote(fact.name)
        if self.full:
            self._run(f"DELETE FROM {table}")
            self._run(f"INSERT INTO {table} {fact.select}")
            self._run(f"ANALYZE {table}")
            kind = "" if fact.key == "month" else "kind, "
            self._dirty(fact, f"SELECT {kind}day FROM {table}", "count(*)")
            return
        if fact.key in KEY_COLUMNS:
            column = KEY_COLUMNS[fact.key]
            scope = f"old.{column} IN (SELECT no FROM touched)"
            same_key = f"fresh.{column} = old.{column} AND fresh.id = old.id"
        else:
            scope = "old.day IN (SELECT month FROM touched)" if fact.key == "month" else "true"
            same_key = "fresh.tenant_no = old.tenant_no AND fresh.day = old.day"
        same = f"{same_key} AND ROW(fresh.*) IS NOT DISTINCT FROM ROW(old.*)"
        self._run("DROP TABLE IF EXISTS fresh")
        self._run(f"CREATE TEMP TABLE fresh ON COMMIT DROP AS {fact.select}")
        self._run("ANALYZE fresh")
        self._change(
            fact,
            f"DELETE FROM {table} AS old "
            f"WHERE {scope} AND NOT EXISTS (SELECT FROM fresh WHERE {same})",
        )
        come = self._change(
            fact,
            f"INSERT INTO {table} SELECT * FROM fresh "
            f"WHERE NOT EXISTS (SELECT FROM {table} AS old WHERE {same})",
        )
        self._analyze(table, come)

    def _change(self, fact: Fact, change: str, parameters: Sequence[object] = ()) -> int:
        """Run a DELETE or INSERT on a fact and note its months; return how many rows it changed."""
        rows = "-count(*)" if change.startswith("DELETE") else "count(*)"
        kind = "" if fact.key == "month" else "kind, "
        return self._dirty(fact, f"{change} RETURNING {kind}day", rows, parameters)

    def _dirty(self, fact: Fact, changed: str, rows: str, parameters: Sequence[object] = ()) -> int:
        """Note the months of changed rows of a fact, and how many rows each month has more."""
        kind = "''" if fact.key == "month" else "kind"
        [(count,)] = self._run(
            f"WITH changed AS ({changed}), noted AS ("
            f"INSERT INTO dirty SELECT %s, {kind}, {MONTH}, {rows} FROM changed GROUP BY 2, 3 "
            "RETURNING rows) SELECT coalesce(sum(abs(rows)), 0)::bigint FROM noted",
            [*parameters, fact.name],
        ).fetchall()
        return int(count)

    def _analyze(self, table: str, come: int) -> None:
        """Make a table's statistics anew when many of its rows are new."""
        [(known,)] = self._run(
            "SELECT reltuples FROM pg_catalog.pg_class WHERE oid = to_regclass(%s)", [table]
        ).fetchall()
        if come >= MANY_ROWS and come >= LARGE_SHARE * known:
            self._run(f"ANALYZE {table}")

    def _count_months(self) -> None:
        """Keep count of the rows of each fact, kind and month."""
        if self.full:
            self._run("DELETE FROM kpi_admin.fact_month")
        self._run(ADD_MONTHS)


def begin(connection: Connection, catalog: Catalog) -> None:
    """Make the temporary tables of a refresh, in its transaction; count facts that never were."""
    run(connection, SEARCH_PATH)
    run(connection, TOUCHED)
    run(connection, DIRTY)
    run(connection, ERASED)
    for fact in catalog.facts.values():
        kind = "''" if fact.key == "month" else "kind"
        count = COUNT_MONTHS.format(kind=kind, table=quote(fact.name))
        run(connection, count, {"fact": fact.name})


def rows_by_month(connection: Connection) -> dict[str, Counter[date]]:
    """Return how many rows facts have, by fact and by `fact:kind`, of each month."""
    found: dict[str, Counter[date]] = {}
    for fact, kind, month, rows in run(
        connection, "SELECT fact, kind, month, rows FROM kpi_admin.fact_month"
    ):
        for name in (fact, f"{fact}:{kind}"):
            found.setdefault(name, Counter())[month] += rows
    return found
