"""What does HTTP cost one gunicorn worker, and what does it save against SQL over the events?"""

import os
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson
from flask import Flask
from psycopg.types.json import Jsonb

from bench.place import RANGES, Connection, Place, Row, faster, in_turn, running
from datasource import demo
from datasource.cli.server import GUNICORN
from datasource.protocol import tokens
from datasource.protocol.answers import Asker
from datasource.protocol.app import create_app
from datasource.protocol.cache import Answer
from datasource.store.connection import connect

CLIENTS = 4  # as many as the worker has threads
DAY = 86_400_000
SERIES = {"kpi": "chat_starts", "shape": "series", "interval": "day"}
EVENTS = "FROM kpi_data.event WHERE tenant_no = %(no)s AND at >= %(from)s AND at < %(to)s"
SESSIONS = """
WITH opened AS (
    SELECT *, coalesce(at - lag(at) OVER w > interval '30 min', true) AS opens FROM kpi_data.event
    WHERE tenant_no = %(no)s AND type IN ('message', 'click') AND experience <> '' AND contact <> ''
        AND at >= %(from)s - interval '1 day' AND at < %(to)s + interval '1 day'
    WINDOW w AS (PARTITION BY contact ORDER BY at, id)
), numbered AS (
    SELECT *, sum(opens::integer) OVER (PARTITION BY contact ORDER BY at, id) AS no FROM opened
), session AS (
    SELECT min(at) AS at, bool_or(type = 'click' OR sender = 'contact') AS talked
    FROM numbered GROUP BY contact, no HAVING bool_or(type = 'message')
)
SELECT 100.0 * count(*) FILTER (WHERE NOT talked) / nullif(count(*), 0)
FROM session WHERE at >= %(from)s AND at < %(to)s"""
# Five questions as /rows takes them, and as SQL over the events.
QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "total": ({"kpi": "chat_starts"}, f"SELECT count(*) {EVENTS} AND type = 'chat_start'"),
    "daily series": (
        SERIES,
        f"SELECT count(*) {EVENTS} AND type = 'chat_start' GROUP BY (at AT TIME ZONE %(zone)s)::date",
    ),
    "distinct contacts by device": (
        {"kpi": "participants", "by": ["device"]},
        f"SELECT count(DISTINCT contact) {EVENTS} AND type = 'participation' GROUP BY device",
    ),
    "bounce rate": ({"kpi": "bounce_rate"}, SESSIONS),
    "NPS": (
        {"kpi": "nps"},
        "SELECT 100.0 * (count(*) FILTER (WHERE score > 8) - count(*) FILTER (WHERE score < 7)) / nullif(count(*), 0) "
        f"{EVENTS} AND type = 'nps'",
    ),
}
SAME = Path(os.environ["BENCH_ANSWER"]).read_text() if "BENCH_ANSWER" in os.environ else ""


def no_lookup() -> Flask:
    """Make the same server, which reads a request as ever and has its answer without looking it up."""
    Asker.answers = lambda *asked: [Answer("", "", SAME[1:-1])]  # type: ignore[method-assign,assignment,misc]
    return create_app()


def bare(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """Answer every request with the same bytes: a WSGI application that does nothing else."""
    environ["wsgi.input"].read()
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(SAME)))]
    )
    return [SAME.encode()]


class Client:
    """One connection that stays open, and does little, so as not to be what is measured."""

    def __init__(self, port: int, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._file = self._socket.makefile("rb")
        self._head = (
            f"POST /rows HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    def ask(self, question: dict[str, Any]) -> bytes:
        """Return the body of the answer."""
        body, length = orjson.dumps(question), 0
        self._socket.sendall(self._head + b"%d\r\n\r\n" % len(body) + body)
        assert b" 200 " in self._file.readline()
        while (line := self._file.readline().lower()) != b"\r\n":
            length = int(line[15:]) if line.startswith(b"content-length:") else length
        return self._file.read(length)


def run(place: Place) -> list[Row]:
    """Ask for a series of 91 points, then five questions on 90 days, of the largest tenant."""
    url, tenant, answer = place.filled(), demo.tenants()[0], place.folder / "answer.json"
    product, product_env = (
        "datasource.protocol.app:create_app()",
        {"DATABASE_URL": url, "CHATKPI_CACHE": "0", "CHATKPI_LOG": "warning"},
    )
    lasting, times = (5.0, 200) if place.events > 100_000 else (0.1, 5)
    with connect(url, autocommit=True) as connection:
        connection.execute("CREATE INDEX ON kpi_data.event (tenant_no, type, at)")
        connection.execute("VACUUM (ANALYZE) kpi_data.event")
        token = tokens.create(connection, f"bench {time.time()}", None)
        [(number, zone, starts, ends, *_)] = connection.execute(RANGES, [tenant])
        values = {"no": number, "zone": zone, "from": starts, "to": ends}
        span: dict[str, Any] = {"filters": {"tenant": tenant}}
        span |= {name: int(values[name].timestamp() * 1000) for name in ("from", "to")}
        series = {**SERIES, **span, "from": span["from"] - DAY}
        with worker(product, product_env) as port:
            asking, client = _rate(port, token, series, lasting), Client(port, token)
            answer.write_bytes(client.ask(series))
            assert len(orjson.loads(answer.read_bytes())) == 91
            added = _added(connection, client, series, times)
            saved = [
                _saved(
                    connection,
                    client,
                    name,
                    {"shape": "total", **question, **span},
                    statement,
                    values,
                )
                for name, (question, statement) in QUESTIONS.items()
            ]
    with worker(product, product_env | {"CHATKPI_CACHE": ""}) as port:
        kept = _rate(port, token, series, lasting)
    without = product_env | {"BENCH_ANSWER": str(answer)}
    with worker("bench.http:no_lookup()", without) as port:
        plain = _rate(port, token, series, lasting)
    with worker("bench.http:bare", without) as port:
        least = _rate(port, token, series, lasting)
    size = f"91 points ({answer.stat().st_size:,} bytes)"
    return [
        _share(
            f"{size} without the cache; the same worker without a lookup", asking, plain, "≥ 33 %"
        ),
        _share("the same from the cache; the same worker without a lookup", kept, plain),
        _share("the same without the cache; a WSGI application of three lines", asking, least),
        added,
        *saved,
    ]


def _share(what: str, ours: float, other: float, bar: str = "") -> Row:
    return Row(
        what,
        f"{ours:,.0f}/s",
        f"{other:,.0f}/s",
        f"{ours / other:.0%}",
        bar,
        3 * ours >= other if bar else None,
    )


def _added(connection: Connection, client: Client, series: dict[str, Any], times: int) -> Row:
    call = b"SELECT * FROM kpi.series(%s, to_timestamp(%s), to_timestamp(%s), 'day', %s)"
    asked = [series["kpi"], series["from"] / 1000, series["to"] / 1000, Jsonb(series["filters"])]
    over, within = in_turn(
        times, lambda: client.ask(series), lambda: connection.execute(call, asked).fetchall()
    )
    figures = f"{over:.1f} ms", f"{within:.1f} ms", f"+{over - within:.1f} ms", "≤ 3 ms"
    return Row(
        "91 points, p50, without the cache; the same call in psycopg", *figures, over - within <= 3
    )


def _saved(
    connection: Connection, client: Client, name: str, asked: Any, statement: str, values: Any
) -> Row:
    def raw() -> list[Any]:
        return connection.execute(statement.encode(), values, prepare=False).fetchall()

    both = [row["value"] for row in orjson.loads(client.ask(asked))], [row[0] for row in raw()]
    ours, theirs = (sorted(round(float(n), 6) for n in numbers if n) for numbers in both)
    assert ours == theirs, name
    return faster(f"{name}, p50; SQL over the events", lambda: client.ask(asked), raw)


def _rate(port: int, token: str, question: dict[str, Any], lasting: float) -> float:
    """Return requests/s of CLIENTS at once, warm."""

    def work(end: float) -> int:
        client, count = Client(port, token), 0
        while time.perf_counter() < end:
            client.ask(question)
            count += 1
        return count

    with ThreadPoolExecutor(CLIENTS) as pool:
        for duration in (lasting / 5, lasting):
            start = time.perf_counter()
            done = sum(pool.map(work, [start + duration] * CLIENTS))
    return done / (time.perf_counter() - start)


def worker(app: str, environment: dict[str, str]) -> AbstractContextManager[int]:
    """Run one gunicorn worker for an application; give its port."""
    program = [
        sys.executable,
        *GUNICORN.split(),
        "--workers",
        "1",
        "--bind",
        "127.0.0.1:{port}",
        app,
    ]
    return running(program, environment)
