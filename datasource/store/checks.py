"""How the values of a record's fields are checked, and written as the text of a column."""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from zoneinfo import available_timezones

import orjson

ID_CHARACTERS = 1000
# An index entry holds 2,704 bytes; longer ids fit when PostgreSQL can compress them well. It has no
# Huffman codes, and needs up to 2.1 times the bytes that Deflate needs without codes of its own. It
# gives up when the first 1,024 bytes repeat nothing, and finds repetitions by four bytes.
INDEXED_BYTES = 2600
INDEXED_ZIPPED_BYTES = 900
REPEATING_BYTES, REPEATED_BYTES = 1024, 4
BYTES_OF_A_CHARACTER = 4  # at most, in UTF-8
SHORT_ID = INDEXED_BYTES // BYTES_OF_A_CHARACTER  # characters of an id that always fits
FIRST_YEAR, LAST_YEAR = 2000, 2100  # in which events happen, in UTC
# Sums and products of numbers below it are doubles, as those who read JSON take them for.
NUMBER_LIMIT = 10**100


class BadRecord(Exception):
    """A record that breaks the input contract; `str()` is the plain reason."""


@dataclass(frozen=True)
class Check:
    """How a field is checked.

    `takes` says in words which values it takes. `read` turns a value that is neither null nor
    empty into the text of a column; it raises BadRecord.
    """

    takes: str
    read: Callable[[object], str]


def instant(value: object) -> str:
    """Return a time of RFC 3339 in UTC, to the microsecond, as PostgreSQL reads it.

    Raises BadRecord when it has another form or no offset, does not exist, or lies outside the
    years 2000 to 2100 in UTC.
    """
    if type(value) is str and _USUAL_TIME.fullmatch(value):
        return value
    if type(value) is not str or not _TIME.fullmatch(value):
        raise BadRecord("not an RFC 3339 time with an offset")
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRecord("a time that does not exist") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise BadRecord(f"outside the years {FIRST_YEAR} to {LAST_YEAR}")
    # PostgreSQL would round a seventh digit and refuse an offset beyond 15:59.
    return moment.isoformat(" ")


_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)
# The usual spelling, which needs no calendar to check and PostgreSQL reads as it is.
_USUAL_TIME = re.compile(
    r"20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?Z",
    re.ASCII,
)
_MONTH = re.compile(r"(20\d\d|2100)-(0[1-9]|1[0-2])", re.ASCII)


def plain_text(value: object) -> str:
    """Return a text, or a number as its text: 2.0 has come here as the integer 2."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return format(Decimal(repr(value)), "f")
    raise BadRecord("not a text")


def identifier(value: object) -> str:
    """Return an id, or a number as its text. Raises BadRecord when an index cannot hold it."""
    text = plain_text(value)
    if len(text) > ID_CHARACTERS:
        raise BadRecord(f"longer than {ID_CHARACTERS:,} characters")
    if len(text) > SHORT_ID:
        raw = text.encode()
        if len(raw) > INDEXED_BYTES and not _is_compressible(raw):
            raise BadRecord(f"longer than {INDEXED_BYTES:,} bytes")
    return text


def _is_compressible(raw: bytes) -> bool:
    """Return whether PostgreSQL surely compresses an id enough for an index."""
    places = range(REPEATING_BYTES - REPEATED_BYTES)
    if len({raw[place : place + REPEATED_BYTES] for place in places}) == len(places):
        return False
    fixed_codes = zlib.compressobj(strategy=zlib.Z_FIXED)
    zipped = fixed_codes.compress(raw) + fixed_codes.flush()
    return len(zipped) <= INDEXED_ZIPPED_BYTES


@cache
def _zones() -> frozenset[str]:
    """Return the names of all time zones."""
    # The two are files beside the zones, and no zones.
    return frozenset(available_timezones() | {"UTC"}) - {"localtime", "Factory"}


def _number(value: object) -> str:
    """Return the text of a number."""
    if type(value) is int or type(value) is float:
        if abs(value) >= NUMBER_LIMIT:
            raise BadRecord("a number of more than 100 digits")
        return repr(value)
    raise BadRecord("not a number")


def _amount(value: object) -> str:
    """Return the text of a number from 0 on."""
    text = _number(value)
    if text.startswith("-"):
        raise BadRecord("less than 0")
    return text


def _flag(value: object) -> str:
    """Return a boolean as COPY spells it."""
    if type(value) is not bool:
        raise BadRecord("not true or false")
    return "t" if value else "f"


def _zone(value: object) -> str:
    """Return the name of a time zone."""
    if type(value) is str and value in _zones():
        return value
    raise BadRecord("not an IANA time zone")


def _month(value: object) -> str:
    """Return the first day of a month."""
    if type(value) is str and _MONTH.fullmatch(value):
        return f"{value}-01"
    raise BadRecord(f"not a month YYYY-MM of the years {FIRST_YEAR} to {LAST_YEAR}")


def _modules(value: object) -> str:
    """Return a list of module ids as JSON."""
    if type(value) is not list or "" in value:
        raise BadRecord("not a list of module ids")
    return orjson.dumps([identifier(item) for item in value]).decode()


def integer(low: int, high: int, takes: str = "") -> Check:
    """Make the check of an integer from `low` to `high`; `takes` words it otherwise."""

    def read(value: object) -> str:
        if type(value) is int and low <= value <= high:
            return str(value)
        raise BadRecord(f"not an integer from {low} to {high}")

    return Check(takes or f"an integer from {low} to {high}", read)


def one_of(*names: str) -> Check:
    """Make the check of a closed list of texts."""

    def read(value: object) -> str:
        if type(value) is str and value in names:
            return value
        raise BadRecord("not one of " + ", ".join(names))

    return Check(", ".join(f"`{name}`" for name in names), read)


TEXT = Check("a text", plain_text)
ID = Check("an id", identifier)
RECORD_TYPE = Check("one of those below", identifier)
TIME = Check("a time of RFC 3339 with its offset", instant)
NUMBER = Check("a number of at most 100 digits", _number)
AMOUNT = Check("a number from 0 on, of at most 100 digits", _amount)
FLAG = Check("true or false", _flag)
ZONE = Check("an IANA time zone", _zone)
MONTH = Check("a month, `YYYY-MM`", _month)
MODULES = Check("a list of module ids", _modules)
