"""The fields of requests: two tables, by which requests are read and openapi.json is written."""

from typing import Any

from datasource.catalog import LISTS

Schema = dict[str, Any]
LAST = r"^[1-9][0-9]{0,5} (hour|day|week|month)s?$"


def _text(words: str, *choices: str) -> Schema:
    return {"type": "string", "description": words} | ({"enum": [*choices]} if choices else {})


def _list(words: str, items: Schema) -> Schema:
    return {"type": "array", "description": words, "items": items}


def _time(words: str) -> Schema:
    text = {"type": "string", "format": "date-time"}
    return {"anyOf": [{"type": "integer"}, text], "description": words}


_VALUE: Schema = {"anyOf": [{"type": "string"}, {"type": "number"}]}
_VALUES: Schema = {"anyOf": [*_VALUE["anyOf"], {"type": "array", "items": _VALUE}]}
_CONDITION: Schema = {
    "type": "object",
    "required": ["op", "values"],
    "properties": {"op": {"enum": ["=", "!=", "=~", "!~"]}, "values": _VALUES},
}
_AD_HOC: Schema = {
    "type": "object",
    "required": ["key"],
    "properties": {
        "key": {"type": "string"},
        "operator": {"enum": ["=", "!=", "=~", "!~", "=|", "!=|"]},
        "value": _VALUE,
        "values": {"type": "array", "items": _VALUE},
    },
}
_BY_DIM = {"type": "object", "additionalProperties": {"anyOf": [*_VALUES["anyOf"], _CONDITION]}}
# The fields of a question, as openapi.json tells them; one with a `type` must be of it.
QUESTION: dict[str, Schema] = {
    "kpi": _text("A KPI's id, as in the list catalog."),
    "kpis": _list("Several KPIs in place of one, with the shape total.", {"type": "string"}),
    "list": _text("A list of things in place of a KPI.", *LISTS),
    "from": _time("Where the range starts: milliseconds since 1970, or RFC 3339."),
    "to": _time("Where the range ends, exclusive."),
    "last": _text("In place of from and to: so many whole hours, days, weeks or months before now.")
    | {"pattern": LAST, "examples": ["24 hours", "7 days"]},
    "timezone": _text("The viewer's time zone; midnights there are calendar dates."),
    "shape": _text("", "series", "cumulative", "total", "table", "distribution"),
    "by": _list("Dimensions to group by.", {"type": "string"}),
    "interval": _text("", "auto", "hour", "day", "week", "month"),
    "granularity": _text("What the range is widened to.", "day", "hour"),
    "compare": _text(
        "What to hold it against: the range before, or the mean of the four weeks before.",
        "previous",
        "usual",
    ),
    "all_groups": {
        "type": "boolean",
        "description": "Whether active entities that have nothing are listed too.",
    },
    "filters": {"anyOf": [_BY_DIM, {"type": "array", "items": _AD_HOC}]},
    "adhocFilters": {"anyOf": [{"type": "array", "items": _AD_HOC}]},
    "offset": {"type": "integer", "description": "Rows of the list hits to leave out."},
    "expanded": _list("Paths of the list after_sales_tree whose children are shown.", {}),
}
# The fields that stand around a question, or in a request that is none.
AROUND: dict[str, Schema] = {
    "refId": _text("Repeated in the answer."),
    "dim": _text("The dimension whose values a variable offers."),
    "key": _text("The dimension whose values are wanted."),
    "target": _text(
        "A KPI's id; in a search a part of its id or title; of a variable a list or a dim."
    ),
    "metric": _text("A KPI's id."),
    "name": _text("A field of a KPI's payload."),
    "annotation": {"type": "object", "description": "Repeated in the answer."},
}
FIELDS = QUESTION | AROUND
# Objects in a request, and the fields that are read in them.
WITHIN = {"range": ("from", "to"), "payload": (*QUESTION, "dim", "target")}
TYPES: dict[str, tuple[type, str]] = {
    "string": (str, "a text"),
    "array": (list, "a list"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
    "object": (dict, "an object"),
}


def an_object(*names: str, within: tuple[str, ...] = (), **more: Schema) -> Schema:
    """Return the schema of an object with some fields, each of which may be null or left out."""
    found = {name: named(name) for name in names}
    found |= {name: an_object(*WITHIN[name]) for name in within}
    nullable = {name: {"anyOf": [one, {"type": "null"}]} for name, one in (found | more).items()}
    return {"type": "object", "properties": nullable}


def named(field: str) -> Schema:
    """Return the reference to a field's schema."""
    return {"$ref": f"#/components/schemas/{field}"}
