"""Who asks: one bearer token a request, or a browser's cookie."""

import re

from flask import Request

from datasource.protocol.database import Database
from datasource.protocol.errors import ApiError, unauthorized
from datasource.protocol.tokens import digest

COOKIE = "chatkpi"
BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]{1,200})")


def token_of(request: Request) -> bytes:
    """Return what is kept of the token that a request carries.

    Raises ApiError 401 when it carries none, or several.
    """
    given = request.headers.getlist("Authorization")
    if not given and request.method in ("GET", "HEAD") and COOKIE in request.cookies:
        given = [f"Bearer {request.cookies[COOKIE]}"]
    match = BEARER.fullmatch(given[0].strip()) if len(given) == 1 else None
    if not match:
        raise unauthorized("The request must carry exactly one bearer token.")
    return digest(match[1])


def count(database: Database, token: bytes, allowed: int) -> None:
    """Count a request. Raises ApiError 429 beyond so many of a token a minute (0: no limit)."""
    if not allowed:
        return
    found = database.write("SELECT kpi_http.seconds_to_wait(%s, %s)", token, allowed)
    if found and found[0][0] is not None:
        message, retry = f"This token may ask {allowed} times a minute.", str(found[0][0])
        raise ApiError(429, "too_many_requests", message, {"Retry-After": retry})
