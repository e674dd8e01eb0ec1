"""gunicorn's settings: `gunicorn -c python:datasource.protocol.worker` and the application.

A connection is a greenlet: one that waits, for its client or for the database, takes some memory
and no thread. This module is imported before gevent has replaced what blocks, so it and what it
imports must not import psycopg, which looks at that once.
"""

import logging
import os
import resource
import time
from collections import OrderedDict
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import gevent  # type: ignore[import-untyped]
from gevent.server import StreamServer  # type: ignore[import-untyped]
from gunicorn.http import wsgi  # type: ignore[import-untyped]
from gunicorn.http.body import ChunkedReader, LengthReader  # type: ignore[import-untyped]
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

from datasource.protocol.connection import KEEPALIVE_SECONDS, Connection, Phase, TooSlow
from datasource.protocol.errors import REFUSALS, RETRY, ApiError, incomplete, internal
from datasource.protocol.settings import Settings

worker_class = "datasource.protocol.worker.Worker"
timeout = 25  # seconds for which a process may not react at all before it is replaced
graceful_timeout = 5
limit_request_line = 8190
keepalive = KEEPALIVE_SECONDS
control_socket_disable = True
# By default a client on this machine, such as a proxy, may say by a header SCRIPT_NAME how much of
# a path is not to count: then a path that the proxy lets pass could lead to one that it does not.
forwarder_headers = ""
loglevel = "warning"
LEVEL = os.environ.get("CHATKPI_LOG", "info").upper()
logconfig_dict = {
    "root": {"level": "WARNING", "handlers": ["lines"]},
    "loggers": {"chatkpi": {"level": LEVEL}, "gunicorn.error": {"level": "WARNING"}},
    "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "formatters": {"lines": {"()": "datasource.protocol.logs.JsonLines"}},
}
OPEN_FILES = 65536  # each connection is one
# Few, so that the processes share what arrives; more than one, so that a crowd of new clients is
# not let in one by one, each after a turn of all that is being done.
ACCEPTED_AT_ONCE = 20


def when_ready(server: Any) -> None:
    """Log where the server listens, when it does."""
    addresses = ", ".join(map(str, server.LISTENERS))
    logging.getLogger("chatkpi").info("serving on %s", addresses)


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves each connection in a greenlet, within the limits, and refuses in the one shape."""

    def init_process(self) -> None:
        """Start the process: its limits, its share of those of a token, then the application."""
        os.environ["CHATKPI_WORKERS"] = str(self.cfg.workers)
        self._settings = Settings.of_environment()
        self._connections: set[Connection] = set()
        # Those whose request has not arrived, or not all of it: the longest waiting one first.
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
        super().init_process()

    def run(self) -> None:
        """Accept connections until told to end; then end the idle ones and finish the others."""
        servers = []
        for listener in self.sockets:
            listener.setblocking(1)
            server = StreamServer(listener, handle=partial(self.handle, listener))
            if self.cfg.workers > 1:
                server.max_accept = ACCEPTED_AT_ONCE
            server.start()
            servers.append(server)
        while self.alive:
            self.notify()
            gevent.sleep(0.5)
        for server in servers:
            server.close()
        until = time.monotonic() + self.cfg.graceful_timeout
        while self._connections and time.monotonic() < until:
            self.notify()
            for connection in self._connections:
                if connection.phase is Phase.SILENT:
                    connection.hang_up()
            gevent.sleep(0.05)

    def timeout_ctx(self) -> nullcontext[None]:
        """Leave time limits to the connection."""
        return nullcontext()

    def handle(self, listener: object, client: Any, addr: object) -> None:
        """Serve a connection. When there are too many, the longest waiting one gives way."""
        connection = Connection(client, self._settings)
        if len(self._connections) >= self._settings.clients:
            longest = next((one for one in self._waiting if one.is_receiving), None)
            if not longest:
                refusal = ApiError(429, "busy", "Too many clients are connected.", RETRY)
                return self._refuse(connection, refusal)
            del self._waiting[longest]
            longest.hang_up()
        self._connections.add(connection)
        self._waiting[connection] = None
        try:
            super().handle(listener, connection, addr)
        finally:
            self._connections.discard(connection)
            self._waiting.pop(connection, None)

    def handle_request(self, listener_name: str, req: Any, sock: Any, addr: Any) -> None:
        """Have the application answer a request. Raises StopIteration to close the connection."""
        if _is_read(req):
            self._waiting.pop(sock, None)
        sock.begin(is_chunked=isinstance(req.body.reader, ChunkedReader))
        response, environ = wsgi.create(req, sock, addr, listener_name, self.cfg)
        environ["wsgi.multithread"] = True
        if not self.alive:
            response.force_close()

        def start_response(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            self._waiting.pop(sock, None)
            if not _is_read(req):
                response.force_close()  # where the next request begins is not known
            return response.start_response(status, headers, *more)

        self._send(response, self.wsgi(environ, start_response), sock)
        if response.should_close():
            if not _is_read(req):
                sock.linger()
            raise StopIteration
        sock.rest()
        self._waiting[sock] = None
        gevent.sleep(0)  # one who sends many requests together is not served them all at once

    def _send(self, response: Any, parts: Any, connection: Connection) -> None:
        """Send an answer; one that fails after its beginning ends in an aborted connection."""
        try:
            for part in parts:
                response.write(part)
            response.close()
        except OSError:
            raise
        except Exception as fault:
            if not response.headers_sent:
                raise
            number = dict(response.headers).get("X-Request-Id")
            self.log.error("the answer to %s was cut off", number, exc_info=fault)
            connection.abort()
            raise StopIteration from None
        finally:
            if hasattr(parts, "close"):
                parts.close()

    def handle_error(self, req: object, client: Any, addr: object, exc: Any) -> None:
        """Answer a request that could not be read, or whose answer failed."""
        if isinstance(exc, TooSlow):
            self._refuse(client, incomplete())
        elif isinstance(exc, ParseException):
            self._refuse(client, ApiError(400, *REFUSALS[400]))
        else:
            self._refuse(client, internal(exc))

    def _refuse(self, connection: Connection, refusal: ApiError) -> None:
        with suppress(OSError):
            connection.sendall(refusal.raw())
        connection.linger()


def _is_read(request: Any) -> bool:
    """Return whether all of a request has been read from its connection."""
    body = request.body
    if body.failed:
        return False
    if isinstance(body.reader, LengthReader):
        return not body.reader.length
    return getattr(body.reader, "parser", None) is None
