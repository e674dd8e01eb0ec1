"""Who asks, by one bearer token a request or a browser's cookie, and how often and how much."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Request

from datasource.protocol.answers import Asker
from datasource.protocol.cache import Cache
from datasource.protocol.database import Database
from datasource.protocol.errors import RETRY, ApiError, unauthorized
from datasource.protocol.gates import Gates
from datasource.protocol.settings import Settings
from datasource.protocol.tokens import digest

COOKIE = "chatkpi"
BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]{1,200})")
WAIT_SECONDS = 15.0  # for one of the token's places, as long as its other questions take them


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


class Access:
    """The way of every token to the database: as often a minute, and as much at once, as it may."""

    def __init__(self, database: Database, cache: Cache, settings: Settings) -> None:
        self.database, self.cache = database, cache
        self._settings = settings
        self._gates = Gates(settings.requests_here)

    def limit_rate(self, token: bytes) -> None:
        """Count a request of a token. Raises ApiError 429 when it has asked too often a minute."""
        allowed = self._settings.rate
        if not allowed:
            return
        found = self.database.write("SELECT kpi_http.seconds_to_wait(%s, %s)", token, allowed)
        if found and found[0][0] is not None:
            message, retry = f"This token may ask {allowed} times a minute.", str(found[0][0])
            raise ApiError(429, "too_many_requests", message, {"Retry-After": retry})

    @contextmanager
    def asking(self, token: bytes) -> Iterator[Asker]:
        """Count a request of a token and give what answers its questions.

        Who has no valid token is told that, whatever else is wrong with the question; a database
        that is busy or away is not asked once more.
        """
        self.limit_rate(token)
        asker = Asker(token, self.database, self.cache)
        try:
            yield asker
        except ApiError as refusal:
            if refusal.status < 429:
                asker.check()
            raise

    @contextmanager
    def place(self, token: bytes) -> Iterator[None]:
        """Take one of a token's places for as long as the block lasts.

        Raises ApiError 429 when none comes free, because as many of its questions are being
        answered as may be at once.
        """
        if not self._gates.enter(token, WAIT_SECONDS):
            message = f"This token may ask {self._settings.token_requests} questions at once."
            raise ApiError(429, "too_many_at_once", message, RETRY)
        try:
            yield
        finally:
            self._gates.leave(token)
