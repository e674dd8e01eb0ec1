"""A server as `chatkpi serve` runs it, and clients that speak to it in bytes."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from datasource.cli.server import GUNICORN

APP = "datasource.protocol.app:create_app()"


class Server(NamedTuple):
    """A running server: its port, the file with its log, its process."""

    port: int
    log: Path
    process: "subprocess.Popen[bytes]"

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        """Open a connection, with a small buffer for one who will not read."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def send(self, request: bytes) -> tuple[bytes, dict[str, str], bytes]:
        """Send bytes; return the status line, the headers and the body of what comes back."""
        with self.connect() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return answer(connection)


def live(connection: socket.socket) -> bool:
    """Ask for /health and read the answer, on a connection that stays open; return if it is one."""
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    while not received.endswith(b"}\n") and (more := connection.recv(65536)):
        received += more
    return b" 200 OK\r\n" in received


def answer(connection: socket.socket) -> tuple[bytes, dict[str, str], bytes]:
    """Read to the end; return the status line, the headers and the body of an answer."""
    head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return status, dict(line.decode().lower().split(": ", 1) for line in headers), body


@contextmanager
def serving(url: str, log: Path, *options: str, **settings: str) -> Iterator[Server]:
    """Run a server of a database, with gunicorn's options and settings of the environment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, *GUNICORN.split(), "--bind", f"127.0.0.1:{port}", *options, APP]
    environment = {**os.environ, "DATABASE_URL": url, **settings}
    with (
        log.open("wb") as file,
        subprocess.Popen(command, env=environment, stderr=file) as process,
    ):
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield Server(port, log, process)
        finally:
            process.kill()


def request(path: str, body: bytes | None = None, **headers: str) -> bytes:
    """Return a request for one answer; with a body it is posted as JSON."""
    lines = {"Host": "x", "Connection": "close"}
    if body is not None:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    method = "GET" if body is None else "POST"
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")
