"""What the parts share: databases with demo data, calls timed in turn, rows of figures."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow

from datasource import demo
from datasource.catalog import Catalog
from datasource.store.connection import connect
from datasource.store.load import load
from datasource.store.migrate import init
from datasource.store.refresh import refresh

Connection = psycopg.Connection[TupleRow]
CATALOG = Catalog.read()
# A tenant's number and zone, its last 90 whole days, its last three whole months.
RANGES = """
SELECT n.tenant_no, t.zone, kpi_admin.day_start(t.zone, d.today - 90), kpi_admin.day_start(t.zone, d.today),
    kpi_admin.day_start(t.zone, (d.month - interval '3 months')::date), kpi_admin.day_start(t.zone, d.month)
FROM kpi_data.tenant_number AS n JOIN kpi_fact.tenant AS t USING (tenant_no),
    LATERAL (SELECT (kpi_admin.now() AT TIME ZONE t.zone)::date AS today) AS now,
    LATERAL (SELECT today, date_trunc('month', today::timestamp)::date AS month) AS d
WHERE n.tenant = %s"""  # noqa: E501


class Row(NamedTuple):
    """A figure: of what, with and without this product, as a ratio; its bar, and if it is met."""

    what: str
    ours: str
    other: str
    ratio: str
    bar: str = ""
    met: bool | None = None


class Place:
    """A server's databases. The data end on the 16th of a month, their `now`.

    The last days are in files of their own; 31 of them always go over a month's end.
    """

    def __init__(self, url: str, folder: Path, events: int, days: int, last_days: int = 31) -> None:
        self.url, self.folder = url, folder
        self.events, self.days, self.last_days = events, days, last_days
        now = datetime.now(UTC) - timedelta(days=16)
        self.now = now.replace(day=16, hour=12, minute=0, second=0, microsecond=0)
        os.environ["CHATKPI_NOW"] = self.now.isoformat()
        self._files: list[Path] = []
        self._filled = ""

    def database(self) -> str:
        """Make a database with the product in it and no data; return its URL."""
        name = f"bench_{uuid4().hex[:8]}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        url = self.url.replace("/chatkpi?", f"/{name}?")
        with connect(url) as connection:
            init(connection, CATALOG)
        return url

    def files(self) -> list[Path]:
        """Return the records as files: all but those of the last days, then a file a day."""
        if not self._files:
            lines = demo.lines(self.events, days=self.days, until=self.now)
            line = next(lines, b"")
            for left in range(self.last_days, -1, -1):
                end = f"{self.now - timedelta(days=left):%FT%T}" if left else "~"
                self._files.append(self.folder / f"{left}.ndjson")
                with self._files[-1].open("wb") as file:
                    while line and orjson.loads(line).get("at", "") < end:
                        file.write(line)
                        line = next(lines, b"")
        return self._files

    def filled(self, url: str = "") -> str:
        """Return the URL of a database with all data: the given one, or one that is made now."""
        self._filled = url or self._filled
        if not self._filled:
            self._filled = self.database()
            with connect(self._filled, autocommit=True) as connection:
                load(connection, self.files())
                refresh(connection, CATALOG)
        return self._filled


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(times: int, *calls: Callable[[], Any]) -> list[float]:
    """Return each call's median in ms. They take five turns, of a tenth of a second at least.

    A turn's first calls are left out: the others' turns took the processor's caches, which nobody
    meets who uses one of them only.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(5):
        for call, found in zip(calls, taken, strict=True):
            turn: list[float] = []
            until = time.perf_counter() + 0.1
            while len(turn) <= times // 5 or time.perf_counter() < until:
                turn.append(1000 * seconds(call))
            found += turn[1 + len(turn) // 5 :]
    return [median(found) for found in taken]


def faster(what: str, ours: Callable[[], Any], other: Callable[[], Any], bar: int = 0) -> Row:
    """Return how many times faster a call is than another."""
    fast, slow = in_turn(25, ours, other)
    return ratio(what, fast, slow, bar)


def ratio(what: str, fast: float, slow: float, bar: int = 0) -> Row:
    """Return how many times as long as ours the other takes, both in ms."""
    aim = (f"≥ {bar} ×", slow >= bar * fast) if bar else ("", None)
    return Row(what, f"{fast:.1f} ms", f"{slow:.1f} ms", f"{slow / fast:.1f} ×", *aim)


@contextmanager
def running(program: list[str], environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run a server, whose command has `{port}` where a free port belongs; give that when it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [word.replace("{port}", str(port)) for word in program]
    with subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL
    ) as server:
        while server.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        try:
            yield port
        finally:
            server.terminate()
