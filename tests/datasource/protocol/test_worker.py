"""gunicorn with the product's settings: what it refuses itself, what it logs, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasource.cli.server import GUNICORN
from tests.datasource.protocol.client import Client

APP = "datasource.protocol.app:create_app()"
TOTAL = b'{"kpi": "messages", "shape": "total", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}'


@pytest.fixture
def server(client: Client, tmp_path: Path) -> Iterator[tuple[int, Path, "subprocess.Popen[bytes]"]]:
    """Run a server of the client's database; give its port, its log, its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, *GUNICORN.split(), "--bind", f"127.0.0.1:{port}", APP]
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, env={**os.environ, "DATABASE_URL": client.url}, stderr=file
        ) as process,
    ):
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield port, log, process
        process.kill()


def sent(port: int, request: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Send bytes; return the status line, the headers and the body of what comes back."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return status, dict(line.decode().lower().split(": ", 1) for line in headers), body


def post(client: Client, more: bytes = b"") -> bytes:
    authorization = client.headers["Authorization"].encode()
    return (
        b"POST /rows?token=in-the-address HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Authorization: %b\r\n%bContent-Length: %d\r\n\r\n%b"
        % (authorization, more, len(TOTAL), TOTAL)
    )


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"POST /rows HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_what_is_no_http_is_refused_in_the_one_shape(
    server: tuple[int, Path, object], request_bytes: bytes
) -> None:
    status, headers, body = sent(server[0], request_bytes)
    assert status == b"HTTP/1.1 400 The request cannot be read."
    assert headers["content-type"] == "application/json"
    assert list(json.loads(body)) == ["message", "code", "detail", "hint"]


def test_a_line_for_each_request(server: tuple[int, Path, object], client: Client) -> None:
    port, log, _ = server
    status, headers, body = sent(port, post(client, b"X-Request-Id: mine-1\r\n"))
    assert (status, json.loads(body)) == (b"HTTP/1.1 200 OK", [{"value": 7}])
    assert headers["x-request-id"] == "mine-1"
    _, headers, _ = sent(port, post(client, b"X-Request-Id: " + b"long" * 40 + b"\r\n"))
    other = headers["x-request-id"]
    assert len(other) == 16
    sent(port, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["request_id"] for line in lines] == ["mine-1", other]
    assert all(
        line["message"] == "POST /rows" and line["status"] == 200 and line["ms"] > 0
        for line in lines
    )
    assert (
        client.headers["Authorization"][7:] not in log.read_text()
        and "in-the-address" not in log.read_text()
    )


def test_it_ends_what_it_has_begun(
    server: tuple[int, Path, "subprocess.Popen[bytes]"], client: Client
) -> None:
    port, _, process = server
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        request = post(client)
        connection.sendall(request[:-5])
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(request[-5:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.endswith(b'[{"value":7}]')
    assert process.wait(10) == 0
