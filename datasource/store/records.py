"""Reading records: one line of a load becomes one row of a table.

Nothing here touches a database.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import md5
from operator import itemgetter
from typing import NamedTuple

import orjson

from datasource.store.checks import SHORT_ID, BadRecord, identifier
from datasource.store.contract import COLUMNS, TYPES
from datasource.store.record_type import EVENT, RecordType

# COPY's null. Compare with `is`: a record may hold the same text, which is escaped later.
NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
InOrder = Callable[[tuple[str, ...]], tuple[bytes, Callable[[dict[str, object]], object]]]
_SIMPLE = frozenset({str, int, bool, type(None)})
_ARRAY = "a JSON array; one record a line is needed"
# Records up to this length share what is worked out from the names of their fields, which is kept:
# so a sender who invents names takes some MB of memory, and not all there is.
USUAL_BYTES, USUAL_NAMES = 1024, 1000
_NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")


class Record(NamedTuple):
    """A record that keeps the contract."""

    table: str  # EVENT, or the type of an entity
    tenant: str
    values: list[str]  # of the columns of COLUMNS[table]


@dataclass(frozen=True, slots=True)
class Step:
    """How one field is read into its column."""

    column: int | None  # its position; None for a field that is checked and not kept
    read: Callable[[object], str]
    is_identifier: bool
    is_required: bool


@dataclass(frozen=True)
class Reader:
    """How records of one type are read, worked out once from the contract."""

    table: str
    steps: Mapping[str, Step]  # by the name of the field
    required: tuple[str, ...]
    tenant_field: str  # the field that names the tenant
    blank: list[str]  # the values of a record without any field: defaults and nulls
    columns: Mapping[str, int]  # the position of each column

    @classmethod
    def of(cls, record_type: RecordType) -> "Reader":
        """Make the reader of a record type."""
        names = COLUMNS[record_type.table]
        columns = {name: position for position, name in enumerate(names)}
        fields = {known.column or known.name: known for known in record_type.fields}
        defaults = {name: known.default for name, known in fields.items()}
        required = record_type.required
        return cls(
            table=record_type.table,
            steps={
                known.name: Step(
                    columns.get(column),
                    known.check.read,
                    known.check.read is identifier,
                    known.name in required,
                )
                for column, known in fields.items()
            },
            required=required,
            tenant_field="id" if record_type.name == "tenant" else "tenant",
            blank=[defaults.get(name) or NULL for name in names],
            columns=columns,
        )


READERS = {name: Reader.of(record_type) for name, record_type in TYPES.items()}


def parse(line: bytes) -> Record:
    """Read one line, without its line break.

    Raises BadRecord with the reason when the line breaks the contract.
    """
    try:
        record = orjson.loads(line)
        if type(record) is not dict:
            raise BadRecord(_ARRAY if type(record) is list else "not a JSON object")
        if not _SIMPLE.issuperset(map(type, record.values())):
            # Again, slower: orjson makes doubles of long integers. 9.0 is the integer 9.
            record = json.loads(line, parse_float=_whole)
        if b"\\u0000" in line and _NUL.search(line):
            raise BadRecord("a NUL character")
        return _record(record, in_order_of_usual if len(line) <= USUAL_BYTES else _in_order)
    except orjson.JSONDecodeError as error:
        if line.lstrip().startswith(b"["):  # its first line
            raise BadRecord(_ARRAY) from None
        raise BadRecord("not JSON: " + str(error).partition(":")[0]) from None
    except RecursionError:
        raise BadRecord("nested too deep") from None


def _record(record: dict[str, object], in_order: InOrder) -> Record:
    type_name = record.get("type")
    if type(type_name) is not str:
        raise BadRecord("type: missing or no text")
    reader = READERS.get(type_name)
    if reader is None:
        raise BadRecord("type: unknown")
    for name in reader.required:
        if name not in record:
            raise BadRecord(f"{name}: missing")
    values = reader.blank.copy()
    unknown = _read_fields(record, reader.steps, values)
    if unknown:
        extra = {name: record[name] for name in unknown}
        values[reader.columns["extra"]] = _dumps(extra).decode()
    if reader.table == EVENT:
        values[reader.columns["content"]] = _content(record, in_order)
    elif "ends" in reader.columns:
        ended = [name for name in reader.steps if record.get(name, "") is None]
        values[reader.columns["ends"]] = "{" + ",".join(ended) + "}"
    elif values[reader.columns["name"]] is NULL:
        values[reader.columns["name"]] = values[reader.columns["id"]]
    tenant = record[reader.tenant_field]
    return Record(reader.table, tenant if type(tenant) is str else identifier(tenant), values)


def _read_fields(
    record: dict[str, object], steps: Mapping[str, Step], values: list[str]
) -> list[str]:
    """Put the fields of a record into their columns; return the names of those it does not know."""
    unknown: list[str] = []
    for name, value in record.items():
        step = steps.get(name)
        if step is None:
            unknown.append(name)
            continue
        if step.is_identifier and type(value) is str and 0 < len(value) <= SHORT_ID:
            text = value  # most fields are such
        elif value is None or value == "":
            if step.is_required:
                raise BadRecord(f"{name}: empty")
            continue
        else:
            try:
                text = step.read(value)
            except BadRecord as error:
                raise BadRecord(f"{name}: {error}") from None
        column = step.column
        if column is not None:
            values[column] = text
    return unknown


def copied(values: list[str]) -> str:
    """Return values as a line of COPY's text format, without its end."""
    return "\t".join(v if v is NULL else v.translate(_ESCAPES) for v in values)


def _content(record: dict[str, object], in_order: InOrder) -> str:
    """Return a fingerprint: equal for records that are equal as parsed JSON."""
    head, sorted_values = in_order(tuple(record))
    content = head + _dumps(sorted_values(record))
    return md5(content, usedforsecurity=False).hexdigest()


def _in_order(names: tuple[str, ...]) -> tuple[bytes, Callable[[dict[str, object]], object]]:
    """Return the sorted names as JSON, and what takes a record's values in that order."""
    in_order = sorted(names)
    return orjson.dumps(in_order), itemgetter(*in_order)


in_order_of_usual = lru_cache(USUAL_NAMES)(_in_order)


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
