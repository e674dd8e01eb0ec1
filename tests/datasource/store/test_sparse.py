"""Records of any legal dates get in, on a server with PostgreSQL's own number of locks."""

from datetime import date
from pathlib import Path
from typing import Any

from datasource.store import locks
from datasource.store.connection import connect
from datasource.store.migrate import init
from datasource.store.refresh import refresh
from tests.agreement import CATALOG, load_records
from tests.conftest import Databases
from tests.datasource.store.test_refresh import everything
from tests.datasource.store.test_spans import months

CENTURY = months(date(2000, 1, 1), 1212)
NOW = "2100-12-31T12:00:00Z"
TOTAL = "SELECT value FROM kpi.total('messages', '2000-01-01', '2101-01-01', granularity => 'day')"


def of_month(month: date, name: str = "") -> list[dict[str, Any]]:
    """A conversation with a message, a click, a session and a result."""
    place = {"tenant": "t", "contact": f"c{month:%Y}", "experience": "x", "device": "mobile"}
    at = f"{month:%Y-%m}-15T10:"
    talk = {"tenant": "t", "conversation": f"v{month}", "channel": "web"}
    return [
        {"type": "message", "id": f"m{month}{name}", "at": f"{at}00:00Z", "from": "contact"}
        | place
        | talk,
        {"type": "click", "id": f"k{month}{name}", "at": f"{at}01:00Z"} | place,
        {"type": "result", "id": f"r{month}{name}", "at": f"{at}02:00Z", "result_type": "lead"}
        | talk,
        {
            "type": "visit",
            "id": f"b{month}{name}",
            "at": f"{at}03:00Z",
            "tenant": "t",
            "contact": f"c{month:%Y}",
        },
    ]


def test_a_month_of_events_in_every_year_from_2000_to_2100(
    database: Databases, tmp_path: Path
) -> None:
    with connect(database.new_database(), autocommit=True) as connection:
        assert connection.execute("SHOW max_locks_per_transaction").fetchone() == ("64",)
        connection.execute("SELECT set_config('kpi.now', %s, false)", [NOW])
        init(connection, CATALOG)
        refresh(connection, CATALOG)
        load_records(connection, [r for month in CENTURY for r in of_month(month)], tmp_path)
        refresh(connection, CATALOG)
        assert connection.execute(TOTAL).fetchone() == (1212,)
        [(slices, kpis)] = connection.execute(
            "SELECT count(*), count(DISTINCT kpi_id) FROM kpi_admin.slice"
        ).fetchall()
        assert slices <= 4 * kpis, "as few as the data need"
        load_records(connection, of_month(date(2013, 7, 1), "late"), tmp_path)
        late = refresh(connection, CATALOG)
        assert late.slices <= 2 * kpis
        assert connection.execute(TOTAL).fetchone() == (1213,)
        seen = everything(connection)
        refresh(connection, CATALOG, full=True)
        assert everything(connection) == seen


def test_a_zone_that_changes_after_years_of_data(database: Databases, tmp_path: Path) -> None:
    with connect(database.new_database(), autocommit=True) as connection:
        init(connection, CATALOG)
        for quarter in range(0, 60, 3):
            of_quarter = CENTURY[240 + quarter : 243 + quarter]
            load_records(connection, [r for month in of_quarter for r in of_month(month)], tmp_path)
            refresh(connection, CATALOG)
        load_records(
            connection, [{"type": "tenant", "id": "t", "timezone": "Asia/Tokyo"}], tmp_path
        )
        assert refresh(connection, CATALOG).recomputed == ("t",)
        assert connection.execute(TOTAL).fetchone() == (60,)
        assert locks.advice(connection) == ""
        connection.execute(
            "INSERT INTO kpi_admin.slice (kpi_id, first, last, relation) "
            "SELECT 'x', date '2000-01-01' + n, date '2000-01-02' + n, 'r' || n FROM generate_series(1, 5000) AS n"
        )
        assert locks.advice(connection).startswith("set max_locks_per_transaction = ")
