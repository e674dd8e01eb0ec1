"""Many clients against the server while data are refreshed and PostgreSQL is restarted once.

    python -m bench.soak [SECONDS [SECONDS OF EACH KIND OF SLOW CLIENTS]]

Counts wrong answers, 500s and errors while the database is up, and says how soon answers are
right again after the restart. Then slow clients of each kind, beside one that is not to notice
them (bench/slow.py). Exit code 1 when anything is not as it should be.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psycopg

from bench.place import running
from bench.slow import CLIENTS as CLIENTS_SLOW
from bench.slow import slow
from datasource import demo
from datasource.catalog import Catalog
from datasource.cli.server import GUNICORN
from datasource.protocol import tokens
from datasource.store import embedded
from datasource.store.connection import connect
from datasource.store.load import load
from datasource.store.migrate import init
from datasource.store.refresh import refresh

CLIENTS, EVENTS, BATCH = 16, 50_000, 7
NOW = "2026-06-15T12:00:00Z"
SPAN = {"from": "2026-03-01T00:00:00Z", "to": "2026-05-01T00:00:00Z"}
# The month that grows: every refresh adds one batch, so that a count between two is a wrong one.
GROWING = {
    "kpi": "messages",
    "shape": "total",
    "filters": {"tenant": "growing"},
    "from": "2026-06-01T00:00:00Z",
    "to": "2026-06-15T00:00:00Z",
}
KPIS = ("sessions", "bounce_rate", "messages", "leads", "participants", "nps", "mecs")
SETTLED = [
    {"kpi": kpi, "shape": shape, "filters": {"tenant": tenant}, **SPAN}
    for kpi in KPIS
    for shape in ("total", "series", "cumulative")
    for tenant in demo.tenants()[:3]
]


@dataclass
class Seen:
    """What the clients saw: how often each kind of answer, and when errors began and ended."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[tuple[float, float, str]] = field(default_factory=list)
    good: list[float] = field(default_factory=list)
    refreshed: int = 0  # batches that a refresh has taken in for certain
    loaded: int = 0  # batches that one may have
    stop: threading.Event = field(default_factory=threading.Event)


def ask(connection: HTTPConnection, token: str, question: dict[str, Any]) -> tuple[int, bytes]:
    """Return the status and the body of an answer; 0 when there is none."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/rows", json.dumps(question), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException) as error:
        connection.close()
        return 0, str(error).encode()


def client(number: int, port: int, token: str, right: list[bytes], seen: Seen) -> None:
    """Ask one question after the other until told to stop."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    turn = number
    while not seen.stop.is_set():
        turn += 1
        began, least = time.monotonic(), seen.refreshed
        which = turn % (len(SETTLED) + 5)
        settled = which < len(SETTLED)
        status, body = ask(connection, token, SETTLED[which] if settled else GROWING)
        ended = time.monotonic()
        if status != 200:
            seen.errors.append((began, ended, f"{status} {body[:80].decode(errors='replace')}"))
            seen.counts[f"status {status}"] += 1
            continue
        if settled:
            is_right = body == right[which]
        else:
            value = json.loads(body)[0]["value"]
            is_right = value % BATCH == 0 and least * BATCH <= value <= seen.loaded * BATCH
        seen.counts["right" if is_right else "WRONG"] += 1
        seen.good.append(ended)


def grow(url: str, folder: Path, seen: Seen) -> None:
    """Load a batch and refresh, over and over, whatever becomes of the database."""
    catalog = Catalog.read()
    while not seen.stop.is_set():
        batch = seen.loaded
        lines = [
            {
                "type": "message",
                "from": "contact",
                "tenant": "growing",
                "id": f"g{batch}-{n}",
                "at": "2026-06-10T10:00:00Z",
                "conversation": f"v{batch}",
                "contact": f"c{n}",
            }
            for n in range(BATCH)
        ]
        path = folder / "batch.ndjson"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        seen.loaded = batch + 1
        while not seen.stop.is_set():
            try:
                with connect(url, autocommit=True) as connection:
                    load(connection, [path], err=print)
                    refresh(connection, catalog)
                seen.refreshed = batch + 1
                seen.counts["refreshes"] += 1
                break
            except Exception as error:  # the restart
                print("  refresh again:", str(error).splitlines()[0], file=sys.stderr)
                time.sleep(0.2)


def restart(url: str, home: Path) -> tuple[float, float]:
    """Have PostgreSQL restarted; return when it went and when it was back."""
    pid = int((home / "data" / "postmaster.pid").read_text().split()[0])
    gone = time.monotonic()
    os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    while True:
        try:
            psycopg.connect(url, connect_timeout=1).close()
            return gone, time.monotonic()
        except psycopg.OperationalError:
            time.sleep(0.02)


def serving(url: str) -> AbstractContextManager[int]:
    """Run the server with two workers; give its port."""
    app = "datasource.protocol.app:create_app()"
    program = [
        sys.executable,
        *GUNICORN.split(),
        "--bind",
        "127.0.0.1:{port}",
        "--workers",
        "2",
        app,
    ]
    return running(program, {"DATABASE_URL": url, "CHATKPI_NOW": NOW, "CHATKPI_LOG": "warning"})


def filled(url: str, folder: Path) -> tuple[str, str]:
    """Load made-up data; return two tokens for all of them."""
    path = folder / "demo.ndjson"
    with path.open("wb") as file:
        file.writelines(demo.lines(EVENTS, days=400, until=datetime(2026, 6, 15, 12, tzinfo=UTC)))
    with connect(url, autocommit=True) as connection:
        init(connection, Catalog.read())
        load(connection, [path], err=lambda line: None)
        refresh(connection, Catalog.read())
        return tokens.create(connection, "soak", None), tokens.create(connection, "slow", None)


def soak(seconds: float, slow_seconds: float, folder: Path) -> bool:
    """Run it all; say what was seen, and whether it is as it should be."""
    os.environ["CHATKPI_NOW"] = NOW
    home, seen = folder / "home", Seen()
    url = embedded.url(home)
    token, slow_token = filled(url, folder)
    with serving(url) as port:
        first = HTTPConnection("127.0.0.1", port)
        right = [ask(first, token, question)[1] for question in SETTLED]
        first.close()
        threads = [
            threading.Thread(target=client, args=(n * 7, port, token, right, seen))
            for n in range(CLIENTS)
        ]
        threads.append(threading.Thread(target=grow, args=(url, folder, seen)))
        for thread in threads:
            thread.start()
        time.sleep(seconds / 2)
        gone, back = restart(url, home)
        time.sleep(seconds / 2)
        seen.stop.set()
        for thread in threads:
            thread.join()
    is_good = told(seen, gone, back, seconds)
    with serving(url) as port:
        print(f"{CLIENTS_SLOW} slow clients of each kind, {slow_seconds:.0f} s each", flush=True)
        return slow(port, slow_token, token, SETTLED[0], slow_seconds) and is_good


def told(seen: Seen, gone: float, back: float, seconds: float) -> bool:
    """Print the figures; return whether they are as they should be."""
    while_up = [why for began, ended, why in seen.errors if ended < gone or began > back + 5]
    recovery = max([0.0, *(ended - back for _, ended, _ in seen.errors if ended > gone)])
    fatal = [why for _, _, why in seen.errors if why.startswith("500") or '"internal"' in why]
    print(
        f"{CLIENTS} clients, {seconds:.0f} s, {sum(seen.counts.values()) / seconds:.0f} answers/s"
    )
    print(*(f"  {kind}: {count}" for kind, count in sorted(seen.counts.items())), sep="\n")
    print(
        f"  database away for {back - gone:.2f} s; last error {recovery:.2f} s after it was back;"
    )
    print(f"  first right answer {min(g for g in seen.good if g > back) - back:.2f} s after")
    print("  kinds of errors:", dict(Counter(why for _, _, why in seen.errors)))
    print(
        f"  500s or internal: {len(fatal)}; errors while it was up: {len(while_up)} {while_up[:3]}"
    )
    return not seen.counts["WRONG"] and not fatal and not while_up and recovery < 5


def main() -> int:
    """Run for as many seconds as the command line says, by default 60 and 60 of each kind."""
    folder = Path(tempfile.mkdtemp(prefix="chatkpi-soak-"))
    folder.chmod(0o755)
    try:
        seconds, slow_seconds = [*map(float, sys.argv[1:]), 60.0, 60.0][:2]
        return 0 if soak(seconds, slow_seconds, folder) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
