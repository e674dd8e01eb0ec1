"""What does a refresh after a day's load cost, as a share of `refresh --full`?"""

from collections import deque
from datetime import timedelta
from pathlib import Path
from statistics import mean

import orjson

from bench.place import CATALOG, Place, Row, seconds
from datasource import demo
from datasource.store.connection import connect
from datasource.store.load import load
from datasource.store.refresh import refresh


def run(place: Place) -> list[Row]:
    """Load the past, a day at a time, two late events; compute everything anew."""
    url = place.database()
    with connect(url, autocommit=True) as connection:

        def taken(path: Path) -> float:
            load(connection, [path])
            return seconds(lambda: refresh(connection, CATALOG))

        _, *daily = map(taken, place.files())
        late = [taken(_late(place, column)) for column in ("experience", "conversation")]
        full = seconds(lambda: refresh(connection, CATALOG, full=True))
    place.filled(url)
    dearest = place.now - timedelta(days=place.last_days - 1 - daily.index(max(daily)))
    return [
        Row(what, f"{cost:.2f} s", f"{full:.1f} s", f"{cost / full:.1%}", f"≤ {bar} %", met)
        for what, cost, bar in (
            (f"refresh, mean of {place.last_days} daily ones", mean(daily), 3),
            (f"the dearest, on {dearest:%F}", max(daily), 6),
            ("after a chat's message a year late", late[0], 5),
            ("after a conversation's message a year late", late[1], 5),
        )
        for met in [100 * cost <= bar * full]
    ]


def _late(place: Place, column: str) -> Path:
    """Write a file with one event: the last message of its kind of a contact, but a year before."""
    mark = f'"tenant":"{demo.tenants()[0]}"'.encode(), f'"{column}":"'.encode(), b'"from":"contact"'
    with place.files()[0].open("rb") as file:
        [line] = deque((line for line in file if all(part in line for part in mark)), maxlen=1)
    at = f"{place.now - timedelta(days=365):%FT%T}Z"
    path = place.folder / f"late_{column}.ndjson"
    path.write_bytes(orjson.dumps({**orjson.loads(line), "id": f"late_{column}", "at": at}))
    return path
