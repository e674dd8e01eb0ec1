"""A line of JSON for each request and each trouble, with an id that its caller has too."""

import logging
import re
import uuid
from datetime import UTC, datetime
from time import perf_counter

import orjson
from flask import Flask, Response, g, request

ID = "X-Request-Id"
is_id = re.compile(r"[\w.-]{1,64}", re.ASCII).fullmatch
log = logging.getLogger("chatkpi.request")


class JsonLines(logging.Formatter):
    """Writes a record as a line of JSON: time (UTC), level, logger, message, what else it names."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def request_id() -> str:
    """Return the id of this request: the one it came with, if short and plain, or a new one."""
    if "request_id" not in g:
        given = request.headers.get(ID, "")
        g.request_id = given if is_id(given) else uuid.uuid4().hex[:16]
    return str(g.request_id)


def register(app: Flask) -> None:
    """Have every request logged, and its id sent back. Neither tokens nor questions are logged."""

    @app.before_request
    def started() -> None:
        g.started = perf_counter()

    @app.after_request
    def ended(response: Response) -> Response:
        response.headers[ID] = request_id()
        level = logging.DEBUG if request.path in ("/health", "/ready") else logging.INFO
        if log.isEnabledFor(level):
            took = round(1000 * (perf_counter() - g.started), 1) if "started" in g else None
            fields = {"request_id": request_id(), "status": response.status_code, "ms": took}
            log.log(level, "%s %s", request.method, request.path, extra={"fields": fields})
        return response
