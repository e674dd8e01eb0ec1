"""Who asks: one bearer token a request, or a browser's cookie."""

import re

from flask import Request

from datasource.protocol.database import Connection, Database, fetch
from datasource.protocol.errors import ApiError
from datasource.protocol.tokens import digest

COOKIE = "chatkpi"
BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]{1,200})")


def unauthorized(message: str) -> ApiError:
    """Return the refusal of a request without a valid token."""
    hint = "Send one header Authorization: Bearer <token>; `chatkpi token create` makes one."
    return ApiError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"}, hint=hint)


def token_of(request: Request) -> str:
    """Return the token that a request carries. Raises ApiError 401 when it has none, or several."""
    given = request.headers.getlist("Authorization")
    if not given and request.method in ("GET", "HEAD") and COOKIE in request.cookies:
        given = [f"Bearer {request.cookies[COOKIE]}"]
    match = BEARER.fullmatch(given[0].strip()) if len(given) == 1 else None
    if not match:
        raise unauthorized("The request must carry exactly one bearer token.")
    return match[1]


def enter(connection: Connection, token: str) -> None:
    """Have a transaction see what a token may see. Raises ApiError 401 for an invalid one."""
    [(name,)] = fetch(connection, "SELECT kpi_http.enter(%s)", digest(token))
    if name is None:
        raise unauthorized("The token is not valid.")


def count(database: Database, token: str, allowed: int) -> None:
    """Count a request. Raises ApiError 429 beyond so many of a token a minute (0: no limit)."""
    if not allowed:
        return
    with database.transaction(writes=True) as connection:
        found = fetch(connection, "SELECT kpi_http.seconds_to_wait(%s, %s)", digest(token), allowed)
    if found and found[0][0] is not None:
        message, retry = f"This token may ask {allowed} times a minute.", str(found[0][0])
        raise ApiError(429, "too_many_requests", message, {"Retry-After": retry})
