"""The Flask application: `gunicorn 'datasource.protocol.app:create_app()'`."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from time import sleep

import psycopg
from flask import Flask, Response, request
from gunicorn.http.errors import NoMoreData, ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from datasource.protocol import errors, guides, logs, pages, reports, status
from datasource.protocol.access import Access, token_of
from datasource.protocol.answers import POSTS, Answerer
from datasource.protocol.cache import Cache
from datasource.protocol.connection import TooSlow
from datasource.protocol.database import Database, from_database
from datasource.protocol.errors import REFUSALS, ApiError
from datasource.protocol.export import export
from datasource.protocol.question import parse
from datasource.protocol.settings import Settings
from datasource.report.settings import ReportSettings

BODY_BYTES = 1 << 20
LARGE = 1 << 16  # bytes of a body or an answer from which it counts as large
PIECE_LINES = 200  # of a file that are sent at once

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


def create_app(url: str | None = None, *, settings: Settings | None = None) -> Flask:
    """Make the server for a database, by default that of DATABASE_URL; connects when first asked.

    Its settings, CHATKPI_NOW and CHATKPI_SERVER_URL are read from the environment here. Raises
    StoreError when there is no database named, ValueError for a setting that cannot be used.
    """
    templates = Path(__file__).with_name("templates")
    app = Flask("chatkpi", static_folder=None, template_folder=templates)
    # Werkzeug refuses a stream that reaches its limit, even one that ends there.
    app.config.update(MAX_CONTENT_LENGTH=BODY_BYTES + 1, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    settings = settings or Settings.of_environment()
    app.extensions["database"] = database = Database(url, settings)
    app.extensions["cache"] = kept = Cache(settings.cache)
    access = Access(database, kept, settings)
    logs.register(app)
    status.register(app, database, kept, settings.max_behind)
    pages.register(app, access)
    guides.register(app)
    reports.register(app, access, ReportSettings.of_environment())
    _answer_questions(app, access)
    app.register_error_handler(ApiError, ApiError.response)
    app.register_error_handler(HTTPException, lambda e: errors.from_http(e).response())
    app.register_error_handler(psycopg.Error, lambda e: from_database(e).response())
    for unread in (ParseException, NoMoreData):
        app.register_error_handler(unread, lambda e: ApiError(400, *REFUSALS[400]).response())
    app.register_error_handler(TooSlow, lambda e: errors.incomplete().response())
    app.register_error_handler(Exception, lambda e: errors.internal(e).response())
    app.after_request(_secured)
    return app


def _answer_questions(app: Flask, access: Access) -> None:
    """Add the paths that need a token."""

    def add(path: str, answerer: Answerer) -> None:
        app.post(path, endpoint=path)(lambda: _posted(access, answerer))

    @app.get("/export/<name>.csv")
    def exported(name: str) -> Response:
        token = token_of(request)
        with access.asking(token) as asker, access.place(token):
            lines, headers, end = export(asker, name, request.args)
        if request.method == "HEAD":
            end()
            lines = iter(())
        content = _in_pieces(lines)
        response = Response(content, content_type="text/csv; charset=utf-8", headers=headers)
        response.call_on_close(end)
        return response

    for path, post in POSTS.items():
        add(path, post.answer)


def _posted(access: Access, answerer: Answerer) -> Response:
    """Answer a question in one of its token's places.

    A body that may be large is read in the place too, and by a valid token only: so there are
    never many of them in memory. A large answer keeps its place until it is sent.
    """
    token = token_of(request)
    with access.asking(token) as asker, ExitStack() as place:
        is_short = (request.content_length or LARGE) < LARGE
        body = _body() if is_short else None
        place.enter_context(access.place(token))
        if body is None:
            asker.check()
            body = _body()
        answer = answerer(asker, parse(body))
        sent = f"[{answer.body}]".encode()
        response = Response(sent, mimetype="application/json", headers=answer.headers)
        if len(sent) > LARGE:
            held = place.pop_all()
            response.response = _held(sent, held)
            response.call_on_close(held.close)
    return response


def _held(body: bytes, place: ExitStack) -> Iterator[bytes]:
    with place:
        yield body


def _in_pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Give the lines of a file some together; other requests have their turn between them."""
    while piece := "".join(islice(lines, PIECE_LINES)):
        yield piece.encode()
        sleep(0)


def _body() -> bytes:
    """Return the body of the request, which must be JSON, of at most 1 MiB."""
    if request.headers.get("Content-Encoding", "identity") != "identity" or not request.is_json:
        raise UnsupportedMediaType
    body = request.get_data(cache=False)
    if len(body) > BODY_BYTES:
        raise RequestEntityTooLarge
    if len(body) < (request.content_length or 0):
        raise BadRequest  # the client ended before it had sent what it announced
    return body


def _secured(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
