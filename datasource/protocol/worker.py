"""gunicorn's settings: `gunicorn -c python:datasource.protocol.worker` and the application."""

import os
import socket
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from datasource.protocol.errors import REFUSALS, ApiError, internal

worker_class = "datasource.protocol.worker.Worker"
threads = 4
timeout = 25  # above the database's statement_timeout, below Grafana's 30 s
graceful_timeout = 5
limit_request_line = 8190
# Longer than Grafana keeps an idle connection (90 s): it must not ask on one that was just closed.
keepalive = 120
control_socket_disable = True
loglevel = "warning"
LEVEL = os.environ.get("CHATKPI_LOG", "info").upper()
logconfig_dict = {
    "root": {"level": "WARNING", "handlers": ["lines"]},
    "loggers": {"chatkpi": {"level": LEVEL}, "gunicorn.error": {"level": "WARNING"}},
    "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "formatters": {"lines": {"()": "datasource.protocol.logs.JsonLines"}},
}


class Worker(ThreadWorker):  # type: ignore[misc]
    """Refuses what is no HTTP in the shape that every error has."""

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: Any) -> None:
        """Answer a request that could not be read, or whose answer failed."""
        unread = isinstance(exc, ParseException)
        refusal = ApiError(400, *REFUSALS[400]) if unread else internal(exc)
        with suppress(OSError):
            client.sendall(refusal.raw())
