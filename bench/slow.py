"""Slow clients against the server, a kind at a time, while others ask: are they noticed?

A part of `python -m bench.soak`. Of each kind CLIENTS connections are kept open, opened anew when
the server ends them. Meanwhile one asks /health and /rows, each time on a connection of its own.
"""

import contextlib
import json
import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

CLIENTS = 500
BAR = 0.2  # seconds in which 95 of 100 answers come
GROWTH = 200  # MiB by which the server's processes may grow together
DOWNLOAD = (
    "/export/messages.csv?by=tenant&by=device&from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
    "&interval=day"
)


@dataclass
class Kind:
    """Slow clients of a kind: what each sends at once, then every second, and if it reads some."""

    name: str
    sent: bytes
    more: bytes = b""
    reads: bool = False


@dataclass
class Probe:
    """How long each answer took, by path; what was no right answer."""

    took: dict[str, list[float]] = field(default_factory=lambda: {"/health": [], "/rows": []})
    wrong: list[str] = field(default_factory=list)
    memory: float = 0


def kinds(token: str, question: dict[str, Any]) -> list[Kind]:
    """Return the kinds of slow clients: strangers, and holders of a token."""
    holder = f"Host: x\r\nAuthorization: Bearer {token}\r\n"
    posted = f"POST /rows HTTP/1.1\r\n{holder}Content-Type: application/json\r\nContent-Length: "
    long = json.dumps(
        {**question, "from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "by": ["tenant"]}
        | {"shape": "series", "interval": "day"}
    )
    return [
        Kind("silent", b""),
        Kind("slow headers", b"GET /health HTTP/1.1\r\nHost: x\r\n", more=b"X-Slow: 1\r\n"),
        Kind("slow bodies", (posted + "1000000\r\n\r\n{").encode(), more=b" " * 100),
        Kind("slow readers", b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 12, reads=True),
        Kind("slow answers", f"{posted}{len(long)}\r\n\r\n{long}".encode(), reads=True),
        Kind("downloads", f"GET {DOWNLOAD} HTTP/1.1\r\n{holder}\r\n".encode(), reads=True),
        Kind("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", more=b"\x00"),
    ]


def opened(port: int, kind: Kind) -> socket.socket:
    """Open a slow connection: small buffers, nothing waited for."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(5)
    with contextlib.suppress(OSError):
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        client.send(kind.sent)
    return client


def dawdle(client: socket.socket, kind: Kind) -> bool:
    """Send or read a little; return whether the connection lives."""
    try:
        if kind.more:
            client.send(kind.more)
        received = client.recv(100 if kind.reads else 1, 0 if kind.reads else socket.MSG_PEEK)
        return bool(received)
    except BlockingIOError:
        return True
    except OSError:
        return False


def besiege(
    port: int, kind: Kind, ready: threading.Event, stop: threading.Event, counts: dict[str, int]
) -> None:
    """Keep so many slow connections of a kind; say when all are there."""
    clients = [opened(port, kind) for _ in range(CLIENTS)]
    ready.set()
    while not stop.wait(1):
        for number, client in enumerate(clients):
            if not dawdle(client, kind):
                client.close()
                clients[number] = opened(port, kind)
                counts["again"] = counts.get("again", 0) + 1
    for client in clients:
        client.close()


def watch(port: int, ask: Callable[[HTTPConnection, str], bool], probe: Probe, end: float) -> None:
    """Ask each path in turn until the end."""
    while time.monotonic() < end:
        for path, took in probe.took.items():
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            began = time.monotonic()
            try:
                if not ask(connection, path):
                    probe.wrong.append(f"{path}: not the right answer")
            except (OSError, HTTPException) as error:
                probe.wrong.append(f"{path}: {error!r}")
            took.append(time.monotonic() - began)
            connection.close()
            time.sleep(0.02)


def memory(port: int) -> float:
    """Return the MiB of the processes that listen on a port."""
    found = subprocess.run(["pgrep", "-f", f"127.0.0.1:{port} "], capture_output=True, text=True)
    pages = 0
    for process in found.stdout.split():
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def slow(port: int, token: str, other: str, question: dict[str, Any], seconds: float) -> bool:
    """Say how the server answers `other` while slow clients, some with `token`, keep it busy."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    headers = {"Authorization": f"Bearer {other}", "Content-Type": "application/json"}
    right: dict[str, bytes] = {}

    def ask(connection: HTTPConnection, path: str) -> bool:
        body = None if path == "/health" else json.dumps(question)
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status == 200 and content == right.setdefault(path, content)

    is_good = True
    watch(port, ask, Probe(), time.monotonic() + 3)  # until both processes are there, and warm
    before = memory(port)
    for kind in [None, *kinds(token, question)]:
        ready, stop, counts, probe = threading.Event(), threading.Event(), {}, Probe()
        siege = threading.Thread(target=besiege, args=(port, kind, ready, stop, counts))
        if kind:
            siege.start()
            ready.wait()
        watch(port, ask, probe, time.monotonic() + seconds)
        grown = memory(port) - before
        if kind:
            stop.set()
            siege.join()
        is_good &= _told(kind.name if kind else "nobody slow", probe, grown, counts.get("again", 0))
    return is_good


def _told(name: str, probe: Probe, grown: float, again: int) -> bool:
    late = {path: sorted(took)[int(0.95 * len(took))] for path, took in probe.took.items()}
    times = ", ".join(f"{path} p95 {1000 * most:.0f} ms" for path, most in late.items())
    count = sum(len(took) for took in probe.took.values())
    print(
        f"  {name}: {times} of {count}, wrong: {len(probe.wrong)} {probe.wrong[:2]}, "
        f"{grown:+.0f} MiB, opened again: {again}, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return not probe.wrong and max(late.values()) < BAR and grown < GROWTH
