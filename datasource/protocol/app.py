"""The Flask application: `gunicorn 'datasource.protocol.app:create_app()'`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from datasource.protocol import access, cache, errors, guides, health, logs
from datasource.protocol.answers import POSTS, Answerer, Asker
from datasource.protocol.database import Database
from datasource.protocol.errors import ApiError
from datasource.protocol.export import export
from datasource.protocol.question import parse

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


def create_app(url: str | None = None, *, pool_size: int = 4) -> Flask:
    """Make the server for a database, by default that of DATABASE_URL; connects when first asked.

    CHATKPI_NOW, CHATKPI_SERVER_URL, CHATKPI_RATE (requests a minute and token),
    CHATKPI_MAX_BEHIND (minutes) and CHATKPI_CACHE (MiB of answers a process, 0: none) are read
    here. Raises StoreError when there is no database named.
    """
    templates = Path(__file__).with_name("templates")
    app = Flask("chatkpi", static_folder=None, template_folder=templates)
    app.config.update(MAX_CONTENT_LENGTH=1 << 20, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    app.extensions["database"] = database = Database(url, pool_size)
    app.extensions["cache"] = kept = cache.of_environment()
    logs.register(app)
    health.register(app, database, kept)
    guides.register(app)
    _answer_questions(app, database, kept, int(os.environ.get("CHATKPI_RATE") or 0))
    app.register_error_handler(ApiError, ApiError.response)
    app.register_error_handler(HTTPException, lambda e: errors.from_http(e).response())
    app.register_error_handler(psycopg.Error, lambda e: errors.from_database(e).response())
    app.register_error_handler(Exception, lambda e: errors.internal(e).response())
    app.after_request(_secured)
    return app


def _answer_questions(app: Flask, database: Database, kept: cache.Cache, rate: int) -> None:
    """Add the paths that need a token."""

    @contextmanager
    def asking() -> Iterator[Asker]:
        token = access.token_of(request)
        access.count(database, token, rate)
        asker = Asker(token, database, kept)
        try:
            yield asker
        except ApiError as refusal:
            # Who has no valid token is told that, whatever else is wrong with the question; a
            # database that is busy or away is not asked once more.
            if refusal.status < 429:
                asker.check()
            raise

    def add(path: str, answerer: Answerer) -> None:
        def posted() -> Response:
            with asking() as asker:
                answer = answerer(asker, parse(_body()))
            return Response(f"[{answer.body}]", mimetype="application/json", headers=answer.headers)

        app.post(path, endpoint=path)(posted)

    @app.get("/export/<name>.csv")
    def exported(name: str) -> Response:
        with asking() as asker:
            lines, headers = export(asker, name, request.args)
        return Response(lines, content_type="text/csv; charset=utf-8", headers=headers)

    for path, post in POSTS.items():
        add(path, post.answer)


def _body() -> bytes:
    if request.headers.get("Content-Encoding", "identity") != "identity" or not request.is_json:
        raise UnsupportedMediaType
    body = request.get_data(cache=False)
    request.stream.read(1)  # a chunked body that goes on is refused here
    return body


def _secured(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
