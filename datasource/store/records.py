"""Reading records: one line of a load becomes one row of a table.

Nothing here touches a database. A plan for each record type, made once from the tables of
contract.py, says which field goes to which column and how it is checked.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import md5
from operator import itemgetter
from typing import NamedTuple, NoReturn

import orjson

from datasource.store.contract import (
    COLUMNS,
    DEFAULTS,
    DIMENSIONS,
    ENTITIES,
    EVENT,
    OWN,
    SAFE_CHARACTERS,
    BadRecord,
    Check,
    clock_time,
    identifier,
    month,
)

__all__ = ["COLUMNS", "EVENT", "BadRecord", "Record", "parse"]

NULL = "\\N"  # as COPY spells it; told from a text by identity, a text's backslash is doubled
EXACT = 2**53  # a number that came through a double is exact below


class Record(NamedTuple):
    """A record that keeps the contract."""

    kind: str  # "event", or the type of an entity
    tenant: str
    key: str  # the id; of a potential the month's first day
    row: str  # the columns of COLUMNS[kind] as one line of COPY's text format, without its end


class Step(NamedTuple):
    """What becomes of one field of a record."""

    name: str
    slot: int
    check: Check | None  # none: a plain id
    required: bool


class Plan(NamedTuple):
    """How the records of one type are read. Two slots follow the columns: unused, tenant."""

    kind: str
    steps: Mapping[str, Step]
    blank: list[str]
    key: int
    tenant: int
    name: int | None  # the slot of a name that is the id when left out
    extra: int


class Shape(NamedTuple):
    """A plan for the records that have just these fields, in this order."""

    plan: Plan
    steps: Sequence[Step]
    unknown: Sequence[str]
    missing: str | None  # a required field that is not there
    head: bytes  # the sorted names, which with their values in this order are the content
    values: Callable[[dict[str, object]], object]


def _plan(type_name: str) -> Plan:
    kind = type_name if type_name in ENTITIES else EVENT
    columns = COLUMNS[kind]
    if kind == EVENT:
        own = OWN[type_name]
        checks = {"at": clock_time, **DIMENSIONS}
        checks |= {name.rstrip("?"): check for name, check in own.items()}
        required = {"tenant", "id", "at", *(name for name in own if not name.endswith("?"))}
    else:
        checks = dict(ENTITIES[kind])
        required = {"id"} if kind == "tenant" else {"tenant", "id"}
    if kind == "potential":
        checks["month"] = month
        required = {"tenant", "month"}
    if kind != "tenant":
        checks["tenant"] = identifier
    checks["id"] = identifier
    unused, tenant = len(columns), len(columns) + 1
    slots = {name: slot for slot, name in enumerate(columns)} | {"tenant": tenant}
    slots["from"] = slots.get("sender", unused)
    blank = [NULL] * (len(columns) + 2)
    for name, text in DEFAULTS.get(type_name, {}).items():
        blank[slots[name]] = text
    if kind == EVENT:
        blank[slots["type"]] = type_name
    return Plan(
        kind=kind,
        steps={
            name: Step(
                name,
                slots.get(name, unused),
                None if check is identifier else check,
                name in required,
            )
            for name, check in checks.items()
        },
        blank=blank,
        key=slots["month" if kind == "potential" else "id"],
        tenant=slots["id" if kind == "tenant" else "tenant"],
        name=slots["name"] if kind != EVENT and "name" in slots else None,
        extra=slots["extra"],
    )


PLANS = {name: _plan(name) for name in (*OWN, *ENTITIES)}
SIMPLE = frozenset({str, int, bool, type(None)})
SHAPES = 10_000
_shapes: dict[tuple[str, ...], Shape] = {}


def _shape(signature: tuple[str, ...]) -> Shape:
    """Make and remember the shape of a type and the names of a record's fields."""
    type_name, *names = signature
    plan = PLANS.get(type_name)
    if plan is None:
        raise BadRecord("type: unknown")
    if len(_shapes) >= SHAPES:  # fields that are named ever differently
        _shapes.clear()
    order = sorted(names)
    required = (name for name, step in plan.steps.items() if step.required)
    shape = _shapes[signature] = Shape(
        plan=plan,
        steps=[plan.steps[name] for name in names if name in plan.steps],
        unknown=[name for name in names if name not in plan.steps and name != "type"],
        missing=next((name for name in required if name not in names), None),
        head=orjson.dumps(order),
        values=itemgetter(*order),
    )
    return shape


def parse(line: bytes) -> Record:
    """Read one line, without its line break.

    Raises BadRecord with the reason when the line breaks the contract.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRecord(_why_not_json(line, str(error))) from None
    if type(record) is not dict:
        raise BadRecord("not a JSON object")
    if not SIMPLE.issuperset(map(type, record.values())):
        record = _normal_record(record, line)
    escaped = b"\\" in line
    if escaped and b"\\u0000" in line and _holds_nul(record):
        raise BadRecord("a NUL character")
    type_name = record.get("type")
    if type(type_name) is not str:
        raise BadRecord("type: missing or no text")
    signature = (type_name, *record)
    shape = _shapes.get(signature) or _shape(signature)
    plan = shape.plan

    values = _fill(shape, record)
    tenant = values[plan.tenant]
    key = values[plan.key]
    del values[-2:]
    if shape.unknown:
        values[plan.extra] = _dumps({name: record[name] for name in shape.unknown}).decode()
    if plan.kind == EVENT:
        content = shape.head + _dumps(shape.values(record))
        values[-1] = md5(content, usedforsecurity=False).hexdigest()
    else:
        _complete_entity(plan, record, values)
    if escaped:
        values = [
            value.translate(_ESCAPES) if value is not NULL and _SPECIAL.search(value) else value
            for value in values
        ]
    return Record(plan.kind, tenant, key, "\t".join(values))


_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _fill(shape: Shape, record: dict[str, object]) -> list[str]:
    """Check the known fields and put them into their slots."""
    if shape.missing:
        raise BadRecord(f"{shape.missing}: missing")
    values = shape.plan.blank.copy()
    for name, slot, check, required in shape.steps:
        value = record[name]
        if check is None:
            if type(value) is str and 0 < len(value) <= SAFE_CHARACTERS:
                values[slot] = value
                continue
            check = identifier
        if value is None or value == "":
            if required:
                raise BadRecord(f"{name}: empty")
            continue
        try:
            values[slot] = check(value)
        except BadRecord as error:
            raise BadRecord(f"{name}: {error}") from None
    return values


def _complete_entity(plan: Plan, record: dict[str, object], values: list[str]) -> None:
    if plan.name is not None and values[plan.name] is NULL:
        values[plan.name] = values[plan.key]
    if plan.kind == "potential":
        ends = [name for name in ENTITIES["potential"] if record.get(name, "") is None]
        values[COLUMNS["potential"].index("ends")] = "{" + ",".join(ends) + "}"


def _why_not_json(line: bytes, error: str) -> str:
    if b"\0" in line:
        return "a NUL character"
    if "surrogate" in error:
        return "a lone surrogate"
    if "infinity" in error:
        return "a number beyond a double"
    if "depth" in error:
        return "nested too deep"
    return "not JSON: " + error.split(":")[0]


class _Inexact(Exception):
    """A number came through a double that may have been a longer integer."""


def _normal_record(record: dict[str, object], line: bytes) -> dict[str, object]:
    """Return the record with whole numbers as integers: 9.0 is 9."""
    try:
        return {name: _normal(value, exact=False) for name, value in record.items()}
    except _Inexact:
        exact = json.loads(line, parse_constant=_refuse)
        return {name: _normal(value, exact=True) for name, value in exact.items()}


def _refuse(name: str) -> NoReturn:
    raise BadRecord(f"not JSON: {name}")


def _normal(value: object, *, exact: bool) -> object:
    if type(value) is float:
        if not exact and abs(value) >= EXACT:
            raise _Inexact
        return int(value) if value.is_integer() else value
    if type(value) is list:
        return [_normal(item, exact=exact) for item in value]
    if type(value) is dict:
        return {name: _normal(item, exact=exact) for name, item in value.items()}
    return value


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    if isinstance(value, dict):
        return any(map(_holds_nul, value)) or any(map(_holds_nul, value.values()))
    return False


def _dumps(value: object) -> bytes:
    """Return JSON with sorted keys; equal values give equal bytes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode()
