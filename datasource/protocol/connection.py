"""A client's connection, with a time limit for each thing that its client has to do."""

import errno
import socket
import struct
from contextlib import suppress
from enum import Enum
from time import monotonic, sleep
from typing import Any

from gunicorn.http.errors import InvalidChunkSize, LimitRequestHeaders  # type: ignore[import-untyped]

from datasource.protocol.settings import Settings

PIECE = 1 << 16  # bytes of an answer that are sent, and timed, at once
HEAD_BYTES = 1 << 16  # of a request line and headers together
# Of a body in chunks, two for each: the parser's work on very many small ones would be felt.
BODY_LINES = 40_000
SEND_BUFFER = 1 << 17  # bytes that the system keeps for a client that does not read
LINGER_SECONDS = 1.0  # for a refused client to stop sending and read why
LINGER_BYTES = 1 << 21
# Longer than Grafana keeps an idle connection (90 s): it must not ask on one that was just closed.
KEEPALIVE_SECONDS = 120


class TooSlow(Exception):
    """A request that has begun to arrive and does not arrive in time."""


class Phase(Enum):
    """What a connection waits for."""

    SILENT = "nothing of a request has arrived"
    HEAD = "its request line and headers arrive"
    REQUEST = "its body arrives, or its answer is made and sent"


class Connection:
    """What gunicorn sees of a socket: reads and writes that end at the limits.

    It is made silent. The first byte begins a request's head, `begin` its body and its answer,
    `rest` the silence before the next request. `is_receiving`: its client is waited for, to send.
    """

    def __init__(self, client: Any, settings: Settings) -> None:
        self.phase = Phase.SILENT
        self.is_receiving = False
        self._socket = client
        self._settings = settings
        self._head_bytes = 0
        self._lines_left: int | None = None  # of a body in chunks
        self._has_read_body = False
        self._read_until = monotonic() + settings.head_seconds
        self._write_until = self._read_until
        with suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def __getattr__(self, name: str) -> Any:
        """Return what the socket has under a name that is not here, such as getsockname."""
        return getattr(self._socket, name)

    def begin(self, is_chunked: bool) -> None:
        """Start the time of a request's body, which may come in chunks, and of its answer."""
        now = monotonic()
        self._lines_left = BODY_LINES if is_chunked else None
        self.phase = Phase.REQUEST
        self._read_until = now + self._settings.body_seconds
        self._write_until = now + self._settings.download_seconds

    def rest(self) -> None:
        """Wait for the next request, as long as a connection may be idle."""
        self.phase = Phase.SILENT
        self._head_bytes = 0
        self._read_until = monotonic() + KEEPALIVE_SECONDS

    def recv(self, size: int) -> bytes:
        """Return what has arrived; nothing when the client has ended, or was silent too long.

        Between the parts of a body others have their turn, even when the next one is there.

        Raises TooSlow when the time for a head or a body is over, LimitRequestHeaders when a head
        is too long, InvalidChunkSize when a body has too many chunks, ConnectionResetError when
        the connection is lost.
        """
        if self._has_read_body:
            sleep(0)
        self._has_read_body = self.phase is Phase.REQUEST
        left = self._read_until - monotonic()
        if left <= 0 and self.phase is not Phase.SILENT:
            raise TooSlow
        self.is_receiving = True
        try:
            self._socket.settimeout(max(0.001, left))
            data: bytes = self._socket.recv(size)
        except TimeoutError:
            if self.phase is Phase.SILENT:
                return b""
            raise TooSlow from None
        except OSError as trouble:
            raise _lost() from trouble
        finally:
            self.is_receiving = False
        self._count(data)
        return data

    def _count(self, data: bytes) -> None:
        """Take note of what has arrived: when a head began, how long it is, how many chunks."""
        if self.phase is Phase.SILENT and data:
            self.phase = Phase.HEAD
            self._read_until = monotonic() + self._settings.head_seconds
        if self.phase is Phase.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                raise LimitRequestHeaders("all headers together")
        elif self._lines_left is not None:
            self._lines_left -= data.count(b"\n")
            if self._lines_left < 0:
                raise InvalidChunkSize(b"too many chunks")

    def sendall(self, data: bytes) -> None:
        """Send bytes.

        Raises ConnectionResetError, with the connection closed, when the client does not take
        them in time, or is gone.
        """
        view = memoryview(data)
        try:
            for start in range(0, len(view), PIECE):
                left = min(self._settings.stall_seconds, self._write_until - monotonic())
                self._socket.settimeout(max(0.001, left))
                self._socket.sendall(view[start : start + PIECE])
        except OSError as trouble:
            self.abort()
            raise _lost() from trouble

    send = sendall

    def hang_up(self) -> None:
        """End a connection that waits for its client: its reader finds nothing more to read."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def linger(self) -> None:
        """Let a client that still sends read its refusal, which a plain close could take away."""
        until, left = monotonic() + LINGER_SECONDS, LINGER_BYTES
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while left > 0 and monotonic() < until:
                self._socket.settimeout(max(0.001, until - monotonic()))
                received = len(self._socket.recv(PIECE))
                left -= received or left

    def abort(self) -> None:
        """Close so that the client sees a fault, even where an end would be taken for the whole."""
        with suppress(OSError):
            at_once = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        with suppress(OSError):
            self._socket.close()


def _lost() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "the connection is lost")
