"""Reads requests: strict types, one sentence for what is wrong. SQL checks what they mean."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

import orjson

from datasource.protocol.errors import ApiError
from datasource.protocol.fields import FIELDS, LAST, TYPES

TYPED = {name: TYPES[schema["type"]] for name, schema in FIELDS.items() if "type" in schema}
DEPTH = 32
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime(2101, 1, 1, tzinfo=UTC)
BY_DIM = "filters."  # simPod JSON's builder has flat payloads: a filter is a field of its own
is_last = re.compile(LAST).match
is_digits = re.compile("[0-9]{1,30}").fullmatch
is_rfc_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
).fullmatch
Fields = Mapping[str, Any]


def parse(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises ApiError 400 when it is none, or too deep."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "invalid_json", "The body is not JSON.", detail=str(error)) from None
    if not isinstance(found, dict):
        raise ApiError(400, "invalid_json", "The body is not a JSON object.")
    _check_depth(found, 1)
    return found


def _check_depth(value: object, depth: int) -> None:
    if isinstance(value, str) and "\0" in value:
        raise ApiError(400, "invalid_json", "A text holds a NUL character.")
    if isinstance(value, dict | list):
        if depth > DEPTH:
            raise ApiError(400, "too_deep", f"The JSON is nested more than {DEPTH} deep.")
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_depth(inner, depth + 1)


def bad(name: str, what: str) -> ApiError:
    """Return the refusal of a field of the wrong type, or that cannot be read."""
    return ApiError(400, "invalid_field", f"{name} must be {what}.")


def inner(fields: Fields, name: str) -> dict[str, Any]:
    """Return a field that is an object, without its nulls; {} when it is left out."""
    value = fields.get(name)
    if not isinstance(value, dict | None):
        raise bad(name, "an object")
    return {key: one for key, one in (value or {}).items() if one is not None}


def check_names(fields: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a field that is not known, or a filter that is misspelt; name the nearest that is."""
    names = [*known]
    for name in fields:
        if name not in names and not name.startswith(BY_DIM):
            near = get_close_matches(name, names, 1, 0.4)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}."
            raise ApiError(400, "unknown_field", f"There is no field {name}.", hint=hint)


def question(fields: Fields, around: Fields | None = None) -> dict[str, Any]:
    """Return the fields of a question under the names that SQL has for them.

    `around` is the request that a target stands in: its filters hold too, its time zone holds
    when the target names none. Times become texts of UTC. Raises ApiError 400, 422.
    """
    around = around or {}
    found = {name: fields[name] for name in TYPED if fields.get(name) is not None}
    found.setdefault("timezone", around.get("timezone"))
    starts, ends = moment(fields, "from"), moment(fields, "to")
    for name, value in found.items():
        if type(value) is not TYPED[name][0] and value is not None:
            raise bad(name, TYPED[name][1])
    for name in ("by", "kpis"):
        if not all(type(one) is str for one in found.get(name, ())):
            raise bad(name, "a list of texts")
    if "last" in found and not is_last(found["last"]):
        raise bad("last", 'a number of hours, days, weeks or months, as in "7 days"')
    if "last" in found and (starts or ends):
        raise ApiError(400, "invalid_field", "last stands in place of from and to.")
    return found | {
        "side_by_side": "kpis" in found,
        "kpis": found.get("kpis", [found["kpi"]] if "kpi" in found else []),
        "starts": starts,
        "ends": ends,
        "bucket": found.get("interval"),
        "zone": found["timezone"],
        "filters": [*_filters(around), *_filters(fields)],
        "skip": found.get("offset", 0),
    }


def moment(fields: Fields, name: str) -> str | None:
    """Return an instant given in ms since 1970 or as RFC 3339, as a text of UTC."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer() or is_digits(str(value)):
        value = int(value)
    try:
        if type(value) is int:
            found = EPOCH + timedelta(milliseconds=value)
        elif type(value) is str and is_rfc_3339(value):
            found = datetime.fromisoformat(value.upper())
        else:
            raise ValueError
    except OverflowError:
        raise _out_of_years() from None
    except ValueError:
        raise bad(name, "a time in ms, or of RFC 3339 with its offset") from None
    if not FIRST_INSTANT <= found <= LAST_INSTANT:
        raise _out_of_years()
    return found.astimezone(UTC).isoformat()


def _out_of_years() -> ApiError:
    return ApiError(422, "invalid_range", "from and to lie in the years 2000 to 2100.")


def _filters(fields: Fields) -> Iterator[dict[str, Any]]:
    """Give `filters` (an object by dim, or ad hoc), `adhocFilters` and `filters.<dim>` by dim."""
    for name in ("filters", "adhocFilters"):
        given = fields.get(name)
        if isinstance(given, dict) and name == "filters":
            found = [given]
        elif isinstance(given, list):
            found = [_ad_hoc(one) for one in given]
        elif given is None:
            continue
        else:
            raise bad(name, "an object by dimension, or a list of ad hoc filters")
        for one in found:
            yield _checked(one)
    flat = {
        name.removeprefix(BY_DIM): value
        for name, value in fields.items()
        if name.startswith(BY_DIM)
    }
    if flat:
        yield _checked(flat)


def _ad_hoc(given: object) -> dict[str, Any]:
    if not isinstance(given, dict) or type(given.get("key")) is not str:
        raise bad("an ad hoc filter", "an object with key, operator and value")
    operator = given.get("operator", "=")
    several = operator in ("=|", "!=|") and given.get("values") is not None
    values = given["values"] if several else [given.get("value")]
    op = str(operator).removesuffix("|") if operator in ("=|", "!=|") else operator
    return {given["key"]: {"op": op, "values": values}}


def _checked(filters: dict[str, Any]) -> dict[str, Any]:
    for dim, value in filters.items():
        if isinstance(value, dict):
            if type(value.get("op")) is not str or "values" not in value:
                words = "a value, a list, or an object with op and values"
                raise bad(f"the filter on {dim}", words)
            value = value["values"]
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float) for one in values):
            raise bad(f"the filter on {dim}", "texts or numbers")
    return filters
