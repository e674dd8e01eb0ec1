"""The one shape that every error has, whether server, application or database refuses."""

import logging
import re
import uuid

import orjson
from flask import Response, has_request_context
from werkzeug.exceptions import HTTPException

from datasource.protocol import logs

log = logging.getLogger("chatkpi")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Headers = dict[str, str] | None
RETRY = {"Retry-After": "5"}
# What Flask refuses: a code and a sentence by status.
REFUSALS = {
    400: ("bad_request", "The request cannot be read."),
    404: ("not_found", "There is no such path."),
    405: ("method_not_allowed", "The path does not have this method."),
    413: ("too_large", "A request has at most 1 MiB."),
    415: ("unsupported_media_type", "The body must be application/json, not compressed."),
}
# Every status that a refusal can have, for openapi.json.
STATUSES = {
    **{status: sentence for status, (_, sentence) in REFUSALS.items()},
    401: "No token, a wrong one, or several.",
    403: "The token may not see that tenant.",
    422: "The question is well formed and wrong.",
    429: "Too many requests.",
    503: "The database cannot answer now.",
}


class ApiError(Exception):
    """A refusal: an HTTP status, a fixed code word, a sentence, detail and hint."""

    def __init__(
        self, status: int, code: str, message: str, headers: Headers = None, **more: str | None
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers
        self.shape = {"message": one_line(message), "code": code, "detail": None, "hint": None}
        self.shape |= more

    def response(self) -> Response:
        """Return the answer that tells it, the message also as the reason phrase."""
        status = f"{self.status} {self.shape['message']}"
        body = orjson.dumps(self.shape)
        return Response(body, status, self.headers, mimetype="application/json")

    def raw(self) -> bytes:
        """Return the same as HTTP, for a request that no application has read."""
        body = orjson.dumps(self.shape)
        headers = {
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(self.headers or {}),
        }
        lines = [f"HTTP/1.1 {self.status} {self.shape['message']}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def one_line(text: str) -> str:
    r"""Return a text as at most 200 printable ASCII characters; others become escapes like \xe9."""
    escaped = text.encode("ascii", "backslashreplace").decode("ascii")
    return CONTROL.sub(lambda control: f"\\x{ord(control[0]):02x}", escaped)[:200]


def from_http(error: HTTPException) -> ApiError:
    """Translate what Flask refuses: no such path or method, a body that is too large or broken."""
    status = error.code if error.code in REFUSALS else 400
    methods = getattr(error, "valid_methods", None)
    allow = {"Allow": ", ".join(sorted(methods))} if methods else None
    return ApiError(status, *REFUSALS[status], allow)


def of_question(state: str, code: str, message: str, hint: str | None) -> ApiError:
    """Translate the database's refusal of a question, or of a value in it."""
    if not state.startswith("KP"):
        return ApiError(422, "invalid_value", "A value of the question cannot be used.")
    if state == "KP401":
        return unauthorized(message)
    return ApiError(int(state[2:]), code, message, hint=hint or None)


def incomplete() -> ApiError:
    """Return the refusal of a request whose head or body did not arrive in time."""
    detail = "It did not arrive in time."
    return ApiError(400, *REFUSALS[400], detail=detail)


def unauthorized(message: str) -> ApiError:
    """Return the refusal of a request without a valid token."""
    hint = "Send one header Authorization: Bearer <token>; `chatkpi token create` makes one."
    return ApiError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"}, hint=hint)


def internal(error: BaseException) -> ApiError:
    """Log a fault of the program under the request's id, and return what its caller is told."""
    number = logs.request_id() if has_request_context() else uuid.uuid4().hex[:16]
    log.error("the request failed", exc_info=error, extra={"fields": {"request_id": number}})
    message = "The server could not answer; its log says why."
    return ApiError(503, "internal", message, RETRY, detail=f"request {number}")
