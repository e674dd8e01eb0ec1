"""What does the first large load cost a database that has refreshed before, against `--full`?

The bar is that of a refresh with `--full` of a database that has just as many events.
"""

from pathlib import Path

import orjson
import psycopg

from bench.place import CATALOG, Place, Row, seconds
from datasource.store.connection import connect
from datasource.store.load import load
from datasource.store.refresh import refresh

BAR = 1.3


def run(place: Place) -> list[Row]:
    """Load everything at once: into nothing, beside a day's data, as one tenant beside as much."""
    everything, day = place.files(), place.files()[-2:-1]
    url = place.database()
    with connect(url, autocommit=True) as connection:
        load(connection, everything)
        full = seconds(lambda: refresh(connection, CATALOG, full=True))

        def beside(files: list[Path]) -> float:
            load(connection, files)
            return seconds(lambda: refresh(connection, CATALOG))

        newcomer = beside([_as_one_tenant(place)])
        both = seconds(lambda: refresh(connection, CATALOG, full=True))
    _drop(place, url)
    costs = [
        (f"{place.events:,} events of a new tenant beside as many; --full of all", newcomer, both)
    ]
    for what, first in (("a refreshed, empty database", []), ("one with a day's data", day)):
        url = place.database()
        with connect(url, autocommit=True) as connection:
            if first:
                load(connection, first)
            refresh(connection, CATALOG)
            load(connection, everything)
            cost = seconds(lambda: refresh(connection, CATALOG))  # noqa: B023
        costs.append((f"{place.events:,} events into {what}", cost, full))
        _drop(place, url)
    return [
        Row(
            *(what, f"{cost:.1f} s", f"{other:.1f} s", f"{cost / other:.2f} ×"),
            *(f"≤ {BAR} ×", cost <= BAR * other),
        )
        for what, cost, other in costs
    ]


def _as_one_tenant(place: Place) -> Path:
    """Write all records again as those of one more tenant, whose names are in no one's way."""
    path = place.folder / "newcomer.ndjson"
    with path.open("wb") as out:
        for file in place.files():
            with file.open("rb") as lines:
                out.writelines(orjson.dumps(_renamed(orjson.loads(line))) + b"\n" for line in lines)
    return path


def _renamed(record: dict[str, object]) -> dict[str, object]:
    """Return a record with the tenant `newcomer`, the old one's name before its other names."""
    if record["type"] == "tenant":
        return record | {"id": "newcomer"}
    tenant = record["tenant"]
    named = {name: f"{tenant} {record[name]}" for name in NAMES if record.get(name)}
    return record | named | {"tenant": "newcomer"}


NAMES = ("id", "contact", "conversation", "experience", "module", "inbox", "user", "department")


def _drop(place: Place, url: str) -> None:
    with psycopg.connect(place.url, autocommit=True) as connection:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        connection.execute(f'DROP DATABASE "{name}"'.encode())
