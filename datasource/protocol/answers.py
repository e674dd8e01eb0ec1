"""The POST paths: each hands its fields to one SQL function, which writes JSON row by row."""

from collections.abc import Callable
from typing import Any, LiteralString, NamedTuple

from psycopg.types.json import Jsonb

from datasource.protocol.cache import OFF, Answer, Cache
from datasource.protocol.database import Connection, fetch
from datasource.protocol.errors import ApiError
from datasource.protocol.fields import QUESTION, Schema, an_object
from datasource.protocol.question import Fields, bad, inner, question

Answerer = Callable[[Connection, dict[str, Any], Cache], Answer]
TARGETS = 50


def used_range(connection: Connection, asked: Fields) -> dict[str, str]:
    """Have a question checked; return the headers that say which range its answer uses."""
    found = fetch(connection, "SELECT starts, ends FROM kpi_http.used_range(%s)", Jsonb(asked))
    return {"X-Range-From": found[0][0], "X-Range-To": found[0][1]} if found else {}


def rows(connection: Connection, body: dict[str, Any], cache: Cache = OFF) -> Answer:
    """Answer POST /rows: a question on KPIs, or a list of things, as flat objects."""
    return _answered(connection, "SELECT kpi_http.rows(%s)", question(body), cache)


def _answered(
    connection: Connection, statement: LiteralString, asked: Fields, cache: Cache
) -> Answer:
    def make() -> Answer:
        headers = used_range(connection, asked)
        return texts(connection, statement, asked), headers

    return cache.answer(connection, statement, asked, make)


def texts(connection: Connection, statement: LiteralString, asked: Fields) -> list[str]:
    """Return the texts that a function of one JSON argument gives."""
    return [text for (text,) in fetch(connection, statement, Jsonb(asked))]


def query(connection: Connection, body: dict[str, Any], cache: Cache = OFF) -> Answer:
    """Answer POST /query: every target, the headers being the first one's."""
    targets = body.get("targets")
    if not isinstance(targets, list) or not all(isinstance(target, dict) for target in targets):
        raise bad("targets", "a list of objects")
    if len(targets) > TARGETS:
        raise ApiError(422, "too_many_targets", f"A query has at most {TARGETS} targets.")
    asked = [_target(target, body) for target in targets]
    found = [_answered(connection, "SELECT kpi_http.frames(%s)", one, cache) for one in asked]
    return [frame for frames, _ in found for frame in frames], found[0][1] if found else {}


def _target(target: Fields, body: Fields) -> dict[str, Any]:
    span, shape = inner(body, "range"), "table" if target.get("type") == "table" else None
    payload = {} if target.get("payload") == "" else inner(target, "payload")
    asked = {"kpi": target.get("target"), "list": None, "refId": target.get("refId")}
    return question({"shape": shape, **payload, **span, **asked}, body)


class Post(NamedTuple):
    """A path: its answerer, and the schemas of its body and of an answer's items."""

    answer: Answerer
    body: Schema
    items: Schema


def _item(*texts: str, **more: Schema) -> Schema:
    found = {name: {"type": "string"} for name in texts} | more
    return {"type": "object", "required": [*found], "properties": found}


def _ask(
    items: Schema, statement: LiteralString, *names: str, within: tuple[str, ...] = ()
) -> Post:
    """Make a path that hands some fields of its body, or of objects in it, to a statement."""

    def answer(connection: Connection, body: dict[str, Any], cache: Cache) -> Answer:
        found = {name: body.get(name) for name in names}
        for name in within:
            found |= inner(body, name)
        return texts(connection, statement, question(found)), {}

    return Post(answer, an_object(*names, within=within), items)


_NUMBER: Schema = {"type": ["number", "null"]}
_PAIR: Schema = {"type": "array", "prefixItems": [_NUMBER, {"type": "integer"}], "minItems": 2}
_SERIES = _item("target", datapoints={"type": "array", "items": _PAIR})
_TABLE = _item(
    columns={"type": "array", "items": _item("text", "type")},
    rows={"type": "array", "items": {"type": "array"}},
    type={"const": "table"},
)
_TARGET = an_object("target", "refId", within=("payload",), type={"type": "string"})
_TARGETS: Schema = {"type": "array", "maxItems": TARGETS, "items": _TARGET}
_OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
_SPAN = ("range",)
POSTS: dict[str, Post] = {
    "/rows": Post(rows, an_object(*QUESTION), {"type": "object"}),
    "/query": Post(
        query,
        an_object("filters", "adhocFilters", "timezone", within=_SPAN, targets=_TARGETS),
        {"anyOf": [_SERIES, _TABLE]},
    ),
    "/search": _ask(_item("text", "value"), "SELECT kpi_http.search(%s)", "target"),
    "/metrics": _ask(_item("label", "value", payloads=_OBJECTS), "SELECT kpi_http.metrics(%s)"),
    "/metric-payload-options": _ask(
        _item("label", "value"), "SELECT kpi_http.payload_options(%s)", "metric", "name"
    ),
    "/variable": _ask(
        _item("__text", "__value"), "SELECT kpi_http.variable(%s)", within=("range", "payload")
    ),
    "/tag-keys": _ask(_item("type", "text", "key"), "SELECT kpi_http.tag_keys(%s)"),
    "/tag-values": _ask(_item("text"), "SELECT kpi_http.tag_values(%s)", "key"),
    "/annotations": _ask(
        _item("title", "text", time={"type": "integer"}),
        "SELECT kpi_http.annotations(%s)",
        "annotation",
        within=_SPAN,
    ),
}
