"""Do records of every month from 2000 to 2100 get in, with the locks that PostgreSQL has by itself?

The bars: three minutes for the refresh, ten seconds for one that a late record makes due.
"""

from pathlib import Path

import orjson

from bench.place import CATALOG, Place, Row, seconds
from datasource.store.connection import connect
from datasource.store.contract import EVENTS
from datasource.store.load import load
from datasource.store.refresh import refresh

MONTHS = [f"{year}-{month:02}" for year in range(2000, 2101) for month in range(1, 13)]
BAR, LATE_BAR = 180, 10


def run(place: Place) -> list[Row]:
    """Load a century beside nothing, refresh; load one more event in the middle of it, refresh."""
    url = place.database()
    with connect(url, autocommit=True) as connection:
        [(each,)] = connection.execute("SHOW max_locks_per_transaction").fetchall()

        def taken(name: str, months: list[str]) -> float:
            path = place.folder / f"{name}.ndjson"
            _write(path, name, months)
            load(connection, [path])
            return seconds(lambda: refresh(connection, CATALOG))

        refresh(connection, CATALOG)
        century, late = taken("century", MONTHS), taken("late", ["2013-07"])
        [(events, slices)] = connection.execute(
            "SELECT (SELECT count(*) FROM kpi_data.event), (SELECT count(*) FROM kpi_admin.slice)"
        ).fetchall()
    what = (
        f"{events:,} events in {len(MONTHS):,} months: {slices} slices, {each} locks a transaction"
    )
    return [
        Row(what, f"{century:.1f} s", "", "", f"≤ {BAR} s", century <= BAR),
        Row("after a late event", f"{late:.1f} s", "", "", f"≤ {LATE_BAR} s", late <= LATE_BAR),
    ]


def _write(path: Path, name: str, months: list[str]) -> None:
    """Write an event of each type in each month, a contact and a conversation of the month's own."""
    with path.open("wb") as file:
        for month in months:
            for number, known in enumerate(EVENTS):
                own = {
                    **{"type": known.name, "tenant": "century", "id": f"{name} {month} {number}"},
                    **{"at": f"{month}-15T10:{number:02}:00Z", "contact": f"c{month}"},
                }
                talk = {"conversation": f"v{month}"} if "conversation" in known.example else {}
                file.write(orjson.dumps(known.example | own | talk) + b"\n")
