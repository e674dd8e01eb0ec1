"""The POST paths: each hands its fields to one SQL function, which writes JSON."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
from psycopg.types.json import Jsonb

from datasource.protocol.cache import Answer, Cache
from datasource.protocol.database import Database
from datasource.protocol.errors import ApiError, of_question
from datasource.protocol.fields import QUESTION, WITHIN, Schema, an_object
from datasource.protocol.question import Fields, bad, check_names, inner, question

TARGETS = 50
MARKS = "annotations"  # the target by which Grafana's own annotations ask, of simPod JSON too


class Asker(NamedTuple):
    """Who asks: what is kept of a token, with where answers come from."""

    token: bytes
    database: Database
    cache: Cache

    def check(self) -> None:
        """Raise the refusal of a token that is not valid."""
        self.database.fetch("SELECT kpi_http.keys(%s, %s)", self.token, Jsonb([]))

    def answers(self, kind: str, questions: Sequence[Fields]) -> list[Answer | ApiError]:
        """Return the answers of a kind (rows, frames) to questions, kept ones where there are.

        One that is refused has its refusal in place of an answer.
        """
        keys: list[str | None] = [None] * len(questions)
        if not questions:
            self.check()
        elif self.cache.room:
            rows = self.database.fetch(
                "SELECT kpi_http.keys(%s, %s)", self.token, Jsonb(questions, orjson.dumps)
            )
            keys = [key for (key,) in rows]
        found: list[Answer | ApiError | None] = [self.cache.find(kind, key) for key in keys]
        missing = [number for number, answer in enumerate(found) if answer is None]
        asked = Jsonb([questions[number] for number in missing], orjson.dumps)
        statement = "SELECT * FROM kpi_http.answers(%s, %s, %s)"
        made = self.database.fetch(statement, self.token, kind, asked) if missing else []
        for number, (starts, ends, body, refused) in zip(missing, made, strict=True):
            if refused:
                found[number] = of_question(**refused)
            else:
                found[number] = answer = Answer(starts, ends, body or "")
                self.cache.keep(kind, keys[number], answer)
        return [answer for answer in found if answer is not None]

    def request(self, name: str, asked: Fields) -> str:
        """Return the answer to a request that is no question, one of kpi_http.requests()."""
        statement = "SELECT kpi_http.answer_request(%s, %s, %s)"
        [(text,)] = self.database.fetch(statement, self.token, name, Jsonb(asked, orjson.dumps))
        return text or ""


Answerer = Callable[[Asker, dict[str, Any]], Answer]


def rows(asker: Asker, body: dict[str, Any]) -> Answer:
    """Answer POST /rows: a question on KPIs, or a list of things, as flat objects."""
    check_names(body, QUESTION)
    [answer] = asker.answers("rows", [question(body)])
    if isinstance(answer, ApiError):
        raise answer
    return answer


def query(asker: Asker, body: dict[str, Any]) -> Answer:
    """Answer POST /query: every target in order; headers are those of the first that is answered.

    A target that is refused says so in its place, unless all are: then the first one's refusal
    is raised.
    """
    targets = body.get("targets")
    if not isinstance(targets, list) or not all(isinstance(target, dict) for target in targets):
        raise bad("targets", "a list of objects")
    if len(targets) > TARGETS:
        raise ApiError(422, "too_many_targets", f"A query has at most {TARGETS} targets.")
    read = [_target(target, body) for target in targets]
    asked = [one for one in read if not isinstance(one, ApiError)]
    answers = iter(asker.answers("frames", asked))
    found = [one if isinstance(one, ApiError) else next(answers) for one in read]
    refused = [one for one in found if isinstance(one, ApiError)]
    if refused and len(refused) == len(found):
        raise refused[0]
    frames = [
        _refused(one, target) if isinstance(one, ApiError) else one.body
        for one, target in zip(found, targets, strict=True)
    ]
    first = next((one for one in found if isinstance(one, Answer)), Answer(None, None, ""))
    return first._replace(body=",".join(filter(None, frames)))


def _target(target: Fields, body: Fields) -> dict[str, Any] | ApiError:
    try:
        payload = {} if target.get("payload") == "" else inner(target, "payload")
        check_names(payload, QUESTION)
        shape = "table" if target.get("type") == "table" else None
        span = inner(body, "range") if "last" not in payload else {}
        asked = {"kpi": target.get("target"), "list": None, "refId": target.get("refId")}
        if asked["kpi"] == MARKS:
            asked |= {"kpi": None, "list": MARKS}
        return question({"shape": shape, **payload, **span, **asked}, body)
    except ApiError as refusal:
        return refusal


def _refused(refusal: ApiError, target: Fields) -> str:
    """Return what stands in the place of a target's answer: its name says what is wrong."""
    frame = {"target": str(refusal), "datapoints": [], "error": refusal.shape}
    reference = {"refId": target["refId"]} if isinstance(target.get("refId"), str) else {}
    return orjson.dumps({**frame, **reference}).decode()


class Post(NamedTuple):
    """A path: its answerer, and the schemas of its body and of an answer's items."""

    answer: Answerer
    body: Schema
    items: Schema


def _item(*texts: str, **more: Schema) -> Schema:
    found = {name: {"type": "string"} for name in texts} | more
    return {"type": "object", "required": [*found], "properties": found}


def _ask(items: Schema, function: str, *names: str, within: tuple[str, ...] = ()) -> Post:
    """Make a path that hands some fields of its body, or of objects in it, to a function."""

    def answer(asker: Asker, body: dict[str, Any]) -> Answer:
        found = {name: body.get(name) for name in names}
        payload = inner(body, "payload") if "payload" in within else {}
        check_names(payload, WITHIN["payload"])
        if "range" in within and "last" not in payload:
            found |= inner(body, "range")
        return Answer(None, None, asker.request(function, question(found | payload)))

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
    "/search": _ask(_item("text", "value"), "search", "target"),
    "/metrics": _ask(_item("label", "value", payloads=_OBJECTS), "metrics"),
    "/metric-payload-options": _ask(
        _item("label", "value"), "payload_options", "metric", "name", within=("payload",)
    ),
    "/variable": _ask(_item("__text", "__value"), "variable", within=("range", "payload")),
    "/tag-keys": _ask(_item("type", "text", "key"), "tag_keys"),
    "/tag-values": _ask(_item("text"), "tag_values", "key"),
    "/annotations": _ask(
        _item("title", "text", time={"type": "integer"}),
        "annotations",
        "annotation",
        within=_SPAN,
    ),
}
