"""GET /openapi.json: every path, from the tables that requests are read by."""

from typing import Any

from datasource import __version__
from datasource.protocol.access import COOKIE
from datasource.protocol.answers import POSTS, Post
from datasource.protocol.errors import STATUSES
from datasource.protocol.export import REPEATED, SINGLE
from datasource.protocol.fields import FIELDS, Schema, an_object, named

ERROR: Schema = {
    "type": "object",
    "required": ["message", "code", "detail", "hint"],
    "additionalProperties": False,
    "properties": {
        "message": {"type": "string", "minLength": 1, "maxLength": 200},
        "code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
        **dict.fromkeys(("detail", "hint"), {"type": ["string", "null"]}),
    },
}
RANGES = {
    f"X-Range-{end}": {
        "description": "The range used.",
        "schema": {"type": "string", "format": "date-time"},
    }
    for end in ("From", "To")
}
REPORT_LINKS = {
    "ask": "have an address asked whether it wants the daily report",
    "start": "start a report that its reader confirms",
    "stop": "end a report",
}
TOKEN: Schema = {"token": []}
COOKIE_TOKEN: Schema = {"cookie": []}


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the server."""
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    paths: dict[str, Any] = {path: {"post": _posted(path, post)} for path, post in POSTS.items()}
    for path, method, operation in _others():
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "chatkpi", "version": __version__},
        "security": [TOKEN],
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR, **FIELDS},
            "responses": {
                str(status): {"description": words, "content": error}
                for status, words in STATUSES.items()
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _operation(summary: str, answers: dict[str, Any], *refusals: int, **more: Any) -> Schema:
    refused = {str(one): {"$ref": f"#/components/responses/{one}"} for one in (*refusals, 405)}
    return {"summary": summary, "responses": answers | refused, **more}


def _answer(words: str, kind: str, schema: Schema, **headers: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {"description": words, "content": {kind: {"schema": schema}}}
    return {"200": found | ({"headers": headers} if headers else {})}


def _posted(path: str, post: Post) -> Schema:
    body = {"required": True, "content": {"application/json": {"schema": post.body}}}
    headers = RANGES if path in ("/rows", "/query") else {}
    items = {"type": "array", "items": post.items}
    answer = _answer("The answer.", "application/json", items, **headers)
    words = (post.answer.__doc__ or path.strip("/")).splitlines()[0]
    return _operation(words, answer, *STATUSES, requestBody=body)


def _others() -> list[tuple[str, str, Schema]]:
    """Return every operation that is not made from POSTS: path, method, what it does."""
    text: Schema = {"type": "string"}
    html = {"text/html": {"schema": text}, "application/json": {"schema": {"type": "object"}}}
    gone = {"303": {"description": "The token is kept in a cookie; on to the page."}}
    front = _operation(
        "The page for people; for programs the name and version.",
        {"200": {"description": "The page.", "content": html}, **gone},
        *(400, 401, 403, 413, 429, 503),
        security=[{}, COOKIE_TOKEN],
        parameters=[_parameter("token", text), _parameter("tenant", text)],
    )
    form = {"application/x-www-form-urlencoded": {"schema": an_object(token=text)}}
    signed = _operation(
        "Keeps a token in a cookie.",
        gone,
        *(400, 401, 403, 413, 429, 503),
        security=[],
        requestBody={"content": form},
    )
    several = {"type": "array", "items": text}
    exported = _operation(
        "The rows of a question as a file for spreadsheets.",
        _answer("The file.", "text/csv", text, **RANGES),
        *STATUSES,
        security=[TOKEN, COOKIE_TOKEN],
        parameters=[
            {"name": "name", "in": "path", "required": True, "schema": text},
            *(_parameter(name, named(name)) for name in SINGLE),
            _parameter("bom", {"type": "boolean"}),
            _parameter("kpi", named("kpi")),
            *(_parameter(name, several) for name in REPEATED),
        ],
    )
    guide = _operation(
        "What a dashboard shows, in words.",
        _answer("The page.", "text/html", text),
        404,
        security=[],
        parameters=[
            {"name": name, "in": "path", "required": True, "schema": text}
            for name in ("language", "name")
        ],
    )
    runbook = _operation(
        "What to do about an alert.",
        _answer("The page.", "text/plain", text),
        404,
        security=[],
        parameters=[{"name": "name", "in": "path", "required": True, "schema": text}],
    )
    return [
        *_reports(),
        ("/", "get", front),
        ("/session", "post", signed),
        ("/export/{name}.csv", "get", exported),
        ("/docs/{language}/{name}", "get", guide),
        ("/runbooks/{name}", "get", runbook),
        ("/health", "get", _open("Whether it lives.", "application/json")),
        ("/ready", "get", _open("Whether the numbers are fresh.", "application/json", 429, 503)),
        ("/metrics", "get", _open("Figures for Prometheus.", "text/plain")),
        ("/openapi.json", "get", _open("This document.", "application/json")),
    ]


def _reports() -> list[tuple[str, str, Schema]]:
    """Return the operations by which readers start and end the daily report."""
    text: Schema = {"type": "string"}
    bell = _operation(
        "Turns the token into a link by which an address can be asked whether it wants reports.",
        {"303": {"description": "On to the page of the link."}},
        *STATUSES,
        security=[TOKEN, COOKIE_TOKEN],
        parameters=[
            _parameter(name, text)
            for name in ("tenant", "experience", "address", "language", "datasource")
        ],
    )
    found = [("/report/bell", "get", bell)]
    fields = an_object(experience=text, address=text, language=text)
    form = {"application/x-www-form-urlencoded": {"schema": fields}}
    for name, words in REPORT_LINKS.items():
        link = [_parameter("link", text)]
        page = _answer("The page.", "text/html", text)
        refusals = (400, 404, 413, 422, 429, 503)
        asking = {"requestBody": {"content": form}} if name == "ask" else {}
        shown = _operation(f"The page to {words}.", page, *refusals, security=[], parameters=link)
        done = _operation(
            f"What that page's button does: {words}.",
            page,
            *refusals,
            security=[],
            parameters=link,
            **asking,
        )
        found += [(f"/report/{name}", "get", shown), (f"/report/{name}", "post", done)]
    return found


def _open(words: str, kind: str, *refusals: int) -> Schema:
    schema = {"type": "object" if kind == "application/json" else "string"}
    return _operation(words, _answer(words, kind, schema), *refusals, security=[])


def _parameter(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}
