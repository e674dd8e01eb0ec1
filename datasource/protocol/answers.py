"""The POST paths: each hands its fields to one SQL function, which writes JSON row by row."""

from collections.abc import Callable
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from datasource.protocol.database import Connection, fetch
from datasource.protocol.errors import ApiError
from datasource.protocol.question import Fields, bad, inner, question

# JSON texts, the members of a list; and headers.
Answer = tuple[list[str], dict[str, str]]
Answerer = Callable[[Connection, dict[str, Any]], Answer]
TARGETS = 50


def used_range(connection: Connection, asked: dict[str, Any]) -> dict[str, str]:
    """Have a question checked; return the headers that say which range its answer uses."""
    found = fetch(connection, "SELECT starts, ends FROM kpi_http.used_range(%s)", Jsonb(asked))
    return {"X-Range-From": found[0][0], "X-Range-To": found[0][1]} if found else {}


def rows(connection: Connection, body: dict[str, Any]) -> Answer:
    """Answer POST /rows: a question on KPIs, or a list of things, as flat objects."""
    asked = question(body)
    headers = used_range(connection, asked)
    return texts(connection, "SELECT kpi_http.rows(%s)", asked), headers


def texts(connection: Connection, statement: LiteralString, asked: Fields) -> list[str]:
    """Return the texts that a function of one JSON argument gives."""
    return [text for (text,) in fetch(connection, statement, Jsonb(asked))]


def query(connection: Connection, body: dict[str, Any]) -> Answer:
    """Answer POST /query: every target, the headers being the first one's."""
    targets = body.get("targets")
    if not isinstance(targets, list) or not all(isinstance(target, dict) for target in targets):
        raise bad("targets", "a list of objects")
    if len(targets) > TARGETS:
        raise ApiError(422, "too_many_targets", f"A query has at most {TARGETS} targets.")
    asked = [_target(target, body) for target in targets]
    headers = [used_range(connection, one) for one in asked]
    frames = [texts(connection, "SELECT kpi_http.frames(%s)", one) for one in asked]
    return [frame for several in frames for frame in several], headers[0] if headers else {}


def _target(target: Fields, body: Fields) -> dict[str, Any]:
    span, shape = inner(body, "range"), "table" if target.get("type") == "table" else None
    payload = {} if target.get("payload") == "" else inner(target, "payload")
    asked = {"kpi": target.get("target"), "list": None, "refId": target.get("refId")}
    return question({"shape": shape, **payload, **span, **asked}, body)


def _ask(statement: LiteralString, *names: str, within: tuple[str, ...] = ()) -> Answerer:
    """Make the answerer of a path that needs some fields of its body, or of objects in it."""

    def answer(connection: Connection, body: dict[str, Any]) -> Answer:
        fields = {name: body.get(name) for name in names}
        for name in within:
            fields |= inner(body, name)
        return texts(connection, statement, question(fields)), {}

    return answer


POSTS: dict[str, Answerer] = {
    "/rows": rows,
    "/query": query,
    "/search": _ask("SELECT kpi_http.search(%s)", "target"),
    "/metrics": _ask("SELECT kpi_http.metrics(%s)"),
    "/metric-payload-options": _ask("SELECT kpi_http.payload_options(%s)", "metric", "name"),
    "/variable": _ask("SELECT kpi_http.variable(%s)", within=("range", "payload")),
    "/tag-keys": _ask("SELECT kpi_http.tag_keys(%s)"),
    "/tag-values": _ask("SELECT kpi_http.tag_values(%s)", "key"),
    "/annotations": _ask("SELECT kpi_http.annotations(%s)", "annotation", within=("range",)),
}
