"""Reading records: one line of a load becomes one row of a table.

Nothing here touches a database. What the tables of contract.py say of records of one type with
the same fields is worked out once for all of them.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import md5
from operator import itemgetter
from typing import NamedTuple

import orjson

from datasource.store import contract
from datasource.store.contract import COLUMNS, ENTITIES, EVENT, SAFE, BadRecord, Check, identifier

NULL = "\\N"  # as COPY spells it; told from a text by identity, a text's backslash is doubled
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SIMPLE = frozenset({str, int, bool, type(None)})
_NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")


class Record(NamedTuple):
    """A record that keeps the contract."""

    kind: str  # "event", or the type of an entity
    tenant: str
    values: list[str]  # of the columns of COLUMNS[kind]


class Shape(NamedTuple):
    """How records of one type that have just these fields, in this order, are read."""

    kind: str
    steps: Sequence[tuple[str, int, Check, bool]]  # field, slot, check, whether it is required
    missing: str | None  # a required field that is not there
    unknown: Sequence[str]
    blank: list[str]  # two slots follow those of the columns: the tenant, what has no column
    slots: dict[str, int]
    head: bytes  # the sorted names, which with their values in this order are the content
    sorted: Callable[[dict[str, object]], object]


@lru_cache(10_000)
def _shape(type_name: str, *names: str) -> Shape:
    if type_name in ENTITIES:
        kind, fields = type_name, ENTITIES[type_name].split()
        required = {"tenant": ["id"], "potential": ["month", "tenant"]}.get(kind, ["tenant", "id"])
    elif type_name in contract.OWN:
        own = contract.OWN[type_name].split()
        kind, fields = EVENT, ["at", *contract.DIMENSIONS, *(name.rstrip("?") for name in own)]
        required = ["at", *(name for name in own if not name.endswith("?")), "tenant", "id"]
    else:
        raise BadRecord("type: unknown")
    columns = COLUMNS[kind]
    slots = {name: slot for slot, name in enumerate((*columns, "tenant"))}
    slots["from"] = slots.get("sender", -1)
    if kind == "tenant":
        slots["tenant"] = slots["id"]
    given = {name: text for name, text in contract.DEFAULTS.items() if name in fields}
    given["type"] = type_name
    known = {"id", *fields, *required}
    return Shape(
        kind=kind,
        steps=[
            (name, slots.get(name, -1), contract.check(type_name, name), name in required)
            for name in names
            if name in known
        ],
        missing=next((name for name in required if name not in names), None),
        unknown=[name for name in names if name not in known and name != "type"],
        blank=[*(given.get(name, NULL) for name in columns), NULL, NULL],
        slots=slots,
        head=orjson.dumps(sorted(names)),
        sorted=itemgetter(*sorted(names)),
    )


def parse(line: bytes) -> Record:
    """Read one line, without its line break.

    Raises BadRecord with the reason when the line breaks the contract.
    """
    try:
        record = orjson.loads(line)
        if type(record) is not dict:
            raise BadRecord("not a JSON object")
        if not _SIMPLE.issuperset(map(type, record.values())):
            # Again, slower: orjson makes doubles of long integers. 9.0 is the integer 9.
            record = json.loads(line, parse_float=_whole)
        if b"\\u0000" in line and _NUL.search(line):
            raise BadRecord("a NUL character")
        return _record(record)
    except orjson.JSONDecodeError as error:
        raise BadRecord("not JSON: " + str(error).partition(":")[0]) from None
    except RecursionError:
        raise BadRecord("nested too deep") from None


def _record(record: dict[str, object]) -> Record:
    type_name = record.get("type")
    if type(type_name) is not str:
        raise BadRecord("type: missing or no text")
    shape = _shape(type_name, *record)
    if shape.missing:
        raise BadRecord(f"{shape.missing}: missing")
    values = shape.blank.copy()
    for name, slot, check, required in shape.steps:
        value = record[name]
        if check is identifier and type(value) is str and 0 < len(value) <= SAFE:
            values[slot] = value  # most fields are such
        elif value is None or value == "":
            if required:
                raise BadRecord(f"{name}: empty")
        else:
            try:
                values[slot] = check(value)
            except BadRecord as error:
                raise BadRecord(f"{name}: {error}") from None
    tenant = values[shape.slots["tenant"]]
    del values[-2:]
    if shape.unknown:
        extra = {name: record[name] for name in shape.unknown}
        values[shape.slots["extra"]] = _dumps(extra).decode()
    if shape.kind == EVENT:
        content = shape.head + _dumps(shape.sorted(record))
        values[-1] = md5(content, usedforsecurity=False).hexdigest()
    elif shape.kind == "potential":
        ends = [name for name in ENTITIES["potential"].split() if record.get(name, "") is None]
        values[shape.slots["ends"]] = "{" + ",".join(ends) + "}"
    elif values[shape.slots["name"]] is NULL:
        values[shape.slots["name"]] = values[shape.slots["id"]]
    return Record(shape.kind, tenant, values)


def copied(values: list[str]) -> str:
    """Return values as a line of COPY's text format, without its end."""
    return "\t".join(v if v is NULL else v.translate(_ESCAPES) for v in values)


def _whole(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _dumps(value: object) -> bytes:
    """Return JSON with sorted keys; equal values give equal bytes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode()
