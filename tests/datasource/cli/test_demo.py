"""`chatkpi demo` as a newcomer has it: a process of its own, ended with Ctrl-C."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-c", "from datasource.cli import main; raise SystemExit(main())"]


@pytest.fixture
def home() -> Iterator[Path]:
    # Not pytest's own temporary folder, which as root PostgreSQL's user may not enter.
    folder = Path(tempfile.gettempdir(), f"chatkpi-demo-{uuid.uuid4().hex[:12]}")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def demo(home: Path, end: signal.Signals) -> float:
    """Run a small demo until it shows numbers, ask it something, end it; return the seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*PROGRAM, "demo", "--events", "2000", "--days", "60", "--port", str(port)]
    environment = {**os.environ, "CHATKPI_HOME": str(home)}
    start = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        shown = ""
        while "Ctrl-C" not in shown:
            line = process.stdout.readline()
            assert line, "it ended by itself"
            shown += line
        seconds = time.monotonic() - start
        token = re.findall(r"\?token=(\S+)", shown)[0]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/rows",
            b'{"list": "catalog"}',
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(end)
        assert process.wait(60) == 0
    assert len(re.findall(r"^  \S.* +-?\d", shown, re.MULTILINE)) == 3
    assert re.search(r"^  Sessions +\d+$", shown, re.MULTILINE), "a whole number has no point"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert not list((home / "socket").glob(".s.PGSQL*")), "PostgreSQL still runs"
    return seconds


def test_demo_starts_stops_and_keeps_its_data(home: Path) -> None:
    first = demo(home, signal.SIGINT)
    assert demo(home, signal.SIGTERM) < first
