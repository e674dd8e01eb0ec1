"""Clients that are slow to send and to read, and many questions of one token: nobody waits for them."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from datasource.protocol.answers import Asker
from datasource.protocol.app import create_app
from datasource.protocol.gates import Gate, Gates
from datasource.protocol.settings import Settings
from datasource.protocol.tokens import digest
from tests.datasource.protocol.client import MARCH, Client
from tests.datasource.protocol.server import Server, answer, live, request, serving
from tests.datasource.protocol.test_errors import refused

TOTAL = {"kpi": "messages", "shape": "total", **MARCH}
CENTURY = {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "interval": "day"}
# A file that no buffer on the way holds: a row for each day of many years and each group.
LARGE = "/export/messages.csv?by=tenant&by=device&by=channel&" + urlencode(CENTURY)
BODY = json.dumps(TOTAL).encode()
EACH = 20


def stalled(server: Server, sent: bytes, receive_buffer: int = 4096) -> socket.socket:
    """Send bytes and read no answer."""
    connection = server.connect(receive_buffer)
    connection.sendall(sent)
    return connection


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to be so"
        time.sleep(0.05)


def downloading(client: Client, what: str = "true") -> int:
    """Return for how many downloads something is so that hold a connection to the database."""
    [(count,)] = client.connection.execute(
        f"SELECT count(*) FILTER (WHERE {what}) FROM pg_stat_activity WHERE usename = 'kpi_server'"
        " AND datname = current_database() AND xact_start IS NOT NULL"
    ).fetchall()
    return int(count)


WAITS = "state = 'idle in transaction' AND clock_timestamp() - state_change > interval '0.5 s'"


def value(server: Server, headers: dict[str, str]) -> Any:
    status, _, answered = server.send(request("/rows", BODY, **headers))
    assert status == b"HTTP/1.1 200 OK"
    return json.loads(answered)[0]["value"]


@pytest.fixture(scope="module")
def server(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes with the settings that they have by default."""
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(client.url, log, "--workers", "2") as running:
        yield running


@pytest.fixture(scope="module")
def hasty(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A process that waits for nothing longer than a second or two."""
    log = tmp_path_factory.mktemp("log") / "log"
    settings = {"HEAD_SECONDS": "1", "BODY_SECONDS": "1", "STALL_SECONDS": "2"}
    named = {f"CHATKPI_{name}": seconds for name, seconds in settings.items()}
    with serving(client.url, log, **named) as running:
        yield running


def test_slow_clients_hold_up_nobody(server: Server, client: Client) -> None:
    token = client.token(None)
    large = json.dumps({"kpi": "messages", "by": ["tenant"], **CENTURY}).encode()
    kinds = {
        "silent": b"",
        "head": b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "body": request("/rows", b"{", **token, Content_Length="900000"),
        "answer": request("/openapi.json", Connection="keep-alive") * 100,
        "rows": request("/rows", large, **token),
        "download": request(LARGE, **token),
        "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    }
    with contextlib.ExitStack() as open_ones:
        for sent in kinds.values():
            for _ in range(EACH):
                open_ones.enter_context(stalled(server, sent))
        for _ in range(4):  # so that both processes are likely to answer
            assert server.send(request("/health"))[0] == b"HTTP/1.1 200 OK"
            assert value(server, client.headers) == 7
            assert server.send(request("/ready"))[0] == b"HTTP/1.1 200 OK"


def test_a_token_has_few_downloads_at_once(server: Server, client: Client) -> None:
    mine, other = client.token(None), client.token(None)
    with stalled(server, request(LARGE, **mine)), stalled(server, request(LARGE, **mine)):
        until(lambda: downloading(client, WAITS) == 2)
        status, headers, body = server.send(request(LARGE, **mine))
        assert status.startswith(b"HTTP/1.1 429 ") and int(headers["retry-after"]) > 0
        assert json.loads(body)["code"] == "too_many_downloads"
        with stalled(server, request(LARGE, **other)) as third:
            assert third.recv(100).startswith(b"HTTP/1.1 200 ")
        assert value(server, mine) == 7
    until(lambda: downloading(client) == 0)
    status, _, body = server.send(request(LARGE, **mine))
    assert status == b"HTTP/1.1 200 OK" and body.endswith(b"\r\n0\r\n\r\n")


def test_a_stalled_download_ends_and_gives_its_connection_back(
    hasty: Server, client: Client
) -> None:
    with stalled(hasty, request(LARGE, **client.token(None))) as connection:
        until(lambda: downloading(client, WAITS) == 1)
        until(lambda: downloading(client) == 0)
        with pytest.raises(ConnectionResetError):
            answer(connection)


def test_a_download_has_a_total_time(client: Client, tmp_path: Path) -> None:
    with (
        serving(client.url, tmp_path / "log", CHATKPI_DOWNLOAD_SECONDS="3") as server,
        stalled(server, request(LARGE, **client.token(None))) as connection,
    ):
        with pytest.raises(ConnectionResetError):
            while connection.recv(1000):  # it never stalls, and never gets to the end in time
                time.sleep(0.05)
        until(lambda: downloading(client) == 0)


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_download_that_fails_is_told_from_a_whole_one(
    server: Server, client: Client, version: bytes
) -> None:
    asked = request(LARGE, **client.token(None)).replace(b"HTTP/1.1", version)
    with stalled(server, asked) as connection:
        until(lambda: downloading(client, f"{WAITS} AND pg_terminate_backend(pid)") == 1)
        with pytest.raises(ConnectionResetError):
            answer(connection)
    assert "was cut off" in server.log.read_text()


def test_a_whole_download_ends_with_its_last_chunk(server: Server, client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", LARGE, headers=client.token(None))
    response = connection.getresponse()
    assert response.version == 11 and response.headers["Transfer-Encoding"] == "chunked"
    assert len(response.read()) > 2_000_000  # and is complete, or this would raise
    connection.request("HEAD", LARGE, headers=client.token(None))
    response = connection.getresponse()
    assert response.status == 200 and response.read() == b""
    connection.close()
    until(lambda: downloading(client) == 0)


def test_a_request_has_to_arrive_in_time(hasty: Server, client: Client) -> None:
    for sent in (b"GET / HT", request("/rows", b"{", **client.headers, Content_Length="9")):
        with stalled(hasty, sent) as connection:
            status, _, body = answer(connection)
            assert status == b"HTTP/1.1 400 The request cannot be read."
            assert json.loads(body)["detail"] == "It did not arrive in time."
    with stalled(hasty, b"") as connection:
        assert connection.recv(1) == b""
    with hasty.connect() as connection:
        assert live(connection)
        time.sleep(2)  # an idle connection is kept, longer than a head may take
        assert live(connection)


def test_requests_sent_together_hold_up_nobody(client: Client, tmp_path: Path) -> None:
    """A client that always has the next request there is not served before all others."""
    many = 10_000
    received, others = 0, 0
    with serving(client.url, tmp_path / "log") as server, server.connect() as connection:
        asked = request("/health", Connection="keep-alive") * many
        sender = threading.Thread(target=connection.sendall, args=[asked])
        sender.start()
        while received < many and (data := connection.recv(65536)):
            received += data.count(b"HTTP/1.1 200 ")
            if received < many // 2 and others < 3:
                assert server.send(request("/health"))[0] == b"HTTP/1.1 200 OK"
                others += 1
            elif others == 3:
                break
        connection.close()
        sender.join()
        assert others == 3 and received < many // 2


def test_a_body_has_not_very_many_chunks(server: Server, client: Client) -> None:
    head = request("/rows", b"", **client.headers, Transfer_Encoding="chunked")
    head = head.replace(b"Content-Length: 0\r\n", b"")
    fine = head + b"%x\r\n%b\r\n" % (len(BODY), BODY) + b"1\r\n \r\n" * 1000 + b"0\r\n\r\n"
    assert server.send(fine)[2] == b'[{"value":7}]'
    status, _, body = server.send(head + b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n")
    assert status == b"HTTP/1.1 400 The request cannot be read."


def test_the_longest_waiting_client_gives_way(client: Client, tmp_path: Path) -> None:
    with (
        serving(client.url, tmp_path / "log", CHATKPI_CLIENTS="3") as server,
        server.connect() as first,
    ):
        assert live(first)
        with stalled(server, b"") as second, stalled(server, b"GET") as third:
            assert server.send(request("/health"))[0] == b"HTTP/1.1 200 OK"
            assert first.recv(1) == b"" and second.fileno() and third.fileno()


@pytest.mark.parametrize("path", ["/rows", "/session"])
def test_who_does_not_send_a_body_gives_way(client: Client, tmp_path: Path, path: str) -> None:
    """It takes no valid token to announce a body."""
    more = {"Content_Length": "100", "Authorization": "Bearer x"}
    if path == "/session":
        more["Content_Type"] = "application/x-www-form-urlencoded"
    with (
        serving(client.url, tmp_path / "log", CHATKPI_CLIENTS="3") as server,
        contextlib.ExitStack() as open_ones,
    ):
        slow = [
            open_ones.enter_context(stalled(server, request(path, b"t", **more))) for _ in "123"
        ]
        time.sleep(0.5)
        assert server.send(request("/health"))[0] == b"HTTP/1.1 200 OK"
        assert slow[0].recv(100).startswith(b"HTTP/1.1 4")
        assert value(server, client.headers) == 7


def test_questions_of_one_token_hold_up_no_other(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, waiting = threading.Event(), threading.Semaphore(0)
    really = Asker.answers
    slow, quick = client.token(None), client.token(None)

    def answers(asker: Asker, *asked: Any) -> Any:
        if asker.token == slow_hash:
            waiting.release()
            assert go_on.wait(60)
        return really(asker, *asked)

    monkeypatch.setattr(Asker, "answers", answers)
    monkeypatch.setattr("datasource.protocol.access.WAIT_SECONDS", 0.2)
    slow_hash = digest(slow["Authorization"].removeprefix("Bearer "))
    app = create_app(client.url, settings=Settings(token_requests=4, workers=2, connections=2))

    def ask(headers: dict[str, str]) -> Any:
        return app.test_client().post("/rows", json=TOTAL, headers=headers)

    threads = [threading.Thread(target=ask, args=[slow]) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert waiting.acquire(timeout=60) and waiting.acquire(timeout=60)
        error = ask(slow)  # this process's share is half of the four
        refused(error, 429, "too_many_at_once")
        assert error.headers["Retry-After"]
        assert ask(quick).json == [{"value": 7}]
    finally:
        go_on.set()
        for thread in threads:
            thread.join()
    assert ask(slow).status_code == 200


def test_a_large_answer_keeps_its_place_until_it_is_sent(client: Client) -> None:
    settings = Settings(token_requests=1)
    app = create_app(client.url, settings=settings)
    body = {"kpi": "messages", **CENTURY}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasource.protocol.access.WAIT_SECONDS", 0.1)
        first = app.test_client().post("/rows", json=body, headers=client.headers)
        assert first.status_code == 200
        refused(app.test_client().post("/rows", json=TOTAL, headers=client.headers), 429)
        assert len(first.json) > 10_000
        again = app.test_client().post("/rows", json=TOTAL, headers=client.headers)
        assert again.status_code == 200


def test_places_go_round_in_order() -> None:
    gate, order = Gate(1), []
    assert gate.enter(0) and not gate.enter(0.01)
    threads = []
    for number in range(3):

        def wait(number: int = number) -> None:
            assert gate.enter(60)
            order.append(number)
            gate.leave()

        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        until(lambda number=number: len(gate._queue) == number + 1)
    gate.leave()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2] and gate.free == 1


def test_gates_forget_keys_that_nobody_uses() -> None:
    gates = Gates(1)
    assert gates.enter(b"a", 0) and gates.enter(b"b", 0) and not gates.enter(b"a", 0.01)
    gates.leave(b"a")
    assert gates.enter(b"a", 0)
    gates.leave(b"a")
    gates.leave(b"b")
    assert gates._gates == {}


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATKPI_RATE", "0")
    monkeypatch.setenv("CHATKPI_STALL_SECONDS", "1.5")
    monkeypatch.setenv("CHATKPI_CLIENTS", "")
    assert Settings.of_environment() == Settings(stall_seconds=1.5)
    for wrong in ("x", "0", "-1", "inf", "nan", "1e9999"):
        monkeypatch.setenv("CHATKPI_STALL_SECONDS", wrong)
        with pytest.raises(ValueError, match="CHATKPI_STALL_SECONDS must be a number"):
            Settings.of_environment()
    monkeypatch.setenv("CHATKPI_STALL_SECONDS", "1")
    monkeypatch.setenv("CHATKPI_TOKEN_DOWNLOADS", "1.5")
    with pytest.raises(ValueError, match="CHATKPI_TOKEN_DOWNLOADS"):
        Settings.of_environment()
