"""What needs no token, or makes one a cookie: liveness, readiness, Prometheus, the front page."""

import os

import psycopg
from flask import Flask, Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from datasource import __version__
from datasource.protocol import access, openapi, page, tokens
from datasource.protocol.answers import Asker
from datasource.protocol.cache import OFF, Cache
from datasource.protocol.database import Database
from datasource.protocol.errors import RETRY, ApiError, from_database

GAUGES = ("behind_seconds", "refreshed_timestamp_seconds", "newest_event_timestamp_seconds")


def register(app: Flask, database: Database, cache: Cache) -> None:
    """Add the paths that are no questions."""
    max_behind = 60 * float(os.environ.get("CHATKPI_MAX_BEHIND") or 15)
    app.get("/", endpoint="front")(lambda: _front(database, cache))
    app.get("/health", endpoint="health")(lambda: jsonify(status="live"))
    app.get("/openapi.json", endpoint="openapi")(lambda: jsonify(openapi.document()))
    app.get("/ready", endpoint="ready")(lambda: _ready(database, max_behind))
    app.get("/metrics", endpoint="prometheus")(lambda: _prometheus(database, cache))
    app.post("/session")(lambda: _signed_in(database, request.form.get("token", "")))


def _front(database: Database, cache: Cache) -> AnyResponse:
    if "token" in request.args:
        return _signed_in(database, request.args["token"])
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) != "text/html":
        return jsonify(name="chatkpi", version=__version__)
    if access.COOKIE not in request.cookies and "Authorization" not in request.headers:
        return page.rendered(None)
    try:
        token = access.token_of(request)
        return page.page(Asker(token, database, cache), request.args.get("tenant"))
    except (ApiError, psycopg.Error) as error:
        refusal = from_database(error) if isinstance(error, psycopg.Error) else error
        if refusal.status != 401:
            raise
        return page.rendered(None, refused=str(refusal))


def _signed_in(database: Database, token: str) -> AnyResponse:
    """Keep a valid token in the browser's cookie, and go to the front page."""
    Asker(tokens.digest(token), database, OFF).check()
    answer = redirect("/", 303)
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    answer.set_cookie(access.COOKIE, token, secure=secure, httponly=True, samesite="Strict")
    return answer


def _state(database: Database) -> dict[str, float | None]:
    [state] = database.fetch("SELECT * FROM kpi_http.state()")
    return dict(zip(GAUGES, state, strict=True))


def _ready(database: Database, max_behind: float) -> Response:
    state = _state(database)
    behind = state["behind_seconds"]
    if behind is None or state["refreshed_timestamp_seconds"] is None:
        raise ApiError(503, "not_ready", "Nothing has been refreshed yet.", headers=RETRY)
    if behind > max_behind:
        message = f"The numbers are {behind / 60:.0f} minutes behind."
        raise ApiError(503, "behind", message, RETRY, hint="Run `chatkpi refresh`.")
    return jsonify(status="ready", behind_seconds=behind)


def _prometheus(database: Database, cache: Cache) -> Response:
    try:
        state, up = _state(database), 1
    except (ApiError, psycopg.Error):
        state, up = {}, 0
    lines = [f'chatkpi_info{{version="{__version__}"}} 1', f"chatkpi_database_up {up}"]
    lines += [f"chatkpi_{name} {value}" for name, value in state.items() if value is not None]
    # Each worker has a cache of its own, and a scrape reaches any of them.
    worker = f'{{worker="{os.getpid()}"}}'
    lines += [f"chatkpi_cache_{name}{worker} {count}" for name, count in cache.counts.items()]
    return Response("\n".join(lines) + "\n", mimetype="text/plain")
