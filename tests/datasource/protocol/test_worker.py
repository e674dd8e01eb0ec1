"""gunicorn with the product's settings: what it refuses itself, what it logs, how it ends."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.datasource.protocol.client import Client
from tests.datasource.protocol.server import Server, answer, live, request, serving

TOTAL = b'{"kpi": "messages", "shape": "total", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}'
MIB = 1 << 20
CHUNKED = b"POST /rows HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server of the client's database."""
    with serving(client.url, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


def post(client: Client, body: bytes = TOTAL, **more: str) -> bytes:
    return request("/rows?token=in-the-address", body, **client.headers, **more)


def chunked(client: Client, body: bytes) -> bytes:
    authorization = f"Authorization: {client.headers['Authorization']}\r\nConnection: close\r\n\r\n"
    return CHUNKED + authorization.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"X%d: %b\r\n" % (n, b"y" * 5000) for n in range(50)),
        b"GET / HTTP/1.1\r\nHost: x\r\nExpect: a cake\r\n\r\n",
        b"POST /rows HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_one_shape(server: Server, request_bytes: bytes) -> None:
    status, headers, body = server.send(request_bytes)
    assert status == b"HTTP/1.1 400 The request cannot be read."
    assert headers["content-type"] == "application/json"
    assert list(json.loads(body)) == ["message", "code", "detail", "hint"]


@pytest.mark.parametrize(
    "chunks",
    [b"nonsense\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n", b"5\r\n{}"],
)
def test_a_body_that_cannot_be_read_is_refused(
    server: Server, client: Client, chunks: bytes
) -> None:
    authorization = f"Authorization: {client.headers['Authorization']}\r\n\r\n".encode()
    status, _, body = server.send(CHUNKED + authorization + chunks)
    assert status == b"HTTP/1.1 400 The request cannot be read."
    assert json.loads(body)["code"] == "bad_request"
    short = post(client)[:-5]
    assert server.send(short)[0] == b"HTTP/1.1 400 The request cannot be read."


def test_a_body_has_at_most_a_mebibyte(server: Server, client: Client) -> None:
    for make in (post, chunked):
        status, _, body = server.send(make(client, TOTAL.ljust(MIB)))
        assert (status, json.loads(body)) == (b"HTTP/1.1 200 OK", [{"value": 7}])
        status, _, body = server.send(make(client, TOTAL.ljust(MIB + 1)))
        assert status == b"HTTP/1.1 413 A request has at most 1 MiB."
        assert json.loads(body)["code"] == "too_large"


def test_no_header_changes_the_path(server: Server) -> None:
    """A proxy that keeps /metrics from strangers would let this pass."""
    asked = request("/docs/metrics", SCRIPT_NAME="/docs").replace(b"SCRIPT-NAME", b"SCRIPT_NAME")
    assert server.send(asked)[0] == b"HTTP/1.1 404 There is no such path."


def test_a_line_for_each_request(client: Client, tmp_path: Path) -> None:
    with serving(client.url, tmp_path / "log") as server:
        status, headers, body = server.send(post(client, X_Request_Id="mine-1"))
        assert (status, json.loads(body)) == (b"HTTP/1.1 200 OK", [{"value": 7}])
        assert headers["x-request-id"] == "mine-1"
        _, headers, _ = server.send(post(client, X_Request_Id="long" * 40))
        other = headers["x-request-id"]
        assert len(other) == 16
        server.send(request("/health"))
        text = server.log.read_text()
    started, *lines = [json.loads(line) for line in text.splitlines()]
    assert started["message"].startswith("serving on http://127.0.0.1:")
    assert [line["request_id"] for line in lines] == ["mine-1", other]
    assert all(
        line["message"] == "POST /rows" and line["status"] == 200 and line["ms"] > 0
        for line in lines
    )
    assert client.headers["Authorization"][7:] not in text and "in-the-address" not in text


def test_it_ends_what_it_has_begun(client: Client, tmp_path: Path) -> None:
    with serving(client.url, tmp_path / "log") as server:
        with server.connect() as connection, server.connect() as idle:
            assert live(idle)
            asked = post(client)
            connection.sendall(asked[:-5])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(asked[-5:])
            assert answer(connection)[2] == b'[{"value":7}]'
            assert idle.recv(65536) == b""
        assert server.process.wait(10) == 0


def test_the_worker_is_loaded_without_psycopg() -> None:
    """It chooses how to wait when it is imported, which has to be after gevent's changes."""
    program = "import sys, datasource.protocol.worker; sys.exit('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
