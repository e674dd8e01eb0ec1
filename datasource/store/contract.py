"""The input contract as tables: which fields a record type has, and how each is checked."""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from zoneinfo import available_timezones

import orjson

EVENT = "event"
ID_CHARACTERS = 1000
# An index entry holds 2,704 bytes; longer ids fit when PostgreSQL can compress them well.
INDEXED_BYTES = 2600
INDEXED_ZIPPED_BYTES = 900
SAFE = INDEXED_BYTES // 4  # characters of an id that fits whatever they are


class BadRecord(Exception):
    """A record that breaks the input contract; `str()` is the plain reason."""


# Turns a value that is neither null nor empty into a column's text; raises BadRecord.
Check = Callable[[object], str]


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
    if not 2000 <= moment.year <= 2100:
        raise BadRecord("outside the years 2000 to 2100")
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
    """Check a text, or a number that is taken as its text: 2.0 has come here as 2."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return format(Decimal(repr(value)), "f")
    raise BadRecord("not a text")


def identifier(value: object) -> str:
    """Check an id, or a number that is taken as its text."""
    text = plain_text(value)
    if len(text) > ID_CHARACTERS:
        raise BadRecord(f"longer than {ID_CHARACTERS:,} characters")
    if len(text) > SAFE:
        raw = text.encode()
        if len(raw) > INDEXED_BYTES and len(zlib.compress(raw)) > INDEXED_ZIPPED_BYTES:
            raise BadRecord(f"longer than {INDEXED_BYTES:,} bytes")
    return text


@cache
def _zones() -> frozenset[str]:
    # The two are files beside the zones, and no zones.
    return frozenset(available_timezones() | {"UTC"}) - {"localtime", "Factory"}


def _which(
    holds: Callable[[object], bool], reason: str, text: Callable[[object], str] = str
) -> Check:
    """Make the check of what must hold; `text` turns a value into the column's text."""

    def check(value: object) -> str:
        if not holds(value):
            raise BadRecord(reason)
        return text(value)

    return check


def _integer(low: int, high: int) -> Check:
    reason = f"not an integer from {low} to {high}"
    return _which(lambda value: type(value) is int and low <= value <= high, reason)


def _one_of(names: str) -> Check:
    known = names.split()
    return _which(lambda value: value in known, "not one of " + ", ".join(known))


_number = _which(lambda value: type(value) is int or type(value) is float, "not a number", repr)
_flag = _which(lambda value: type(value) is bool, "not true or false", lambda v: "t" if v else "f")
_zone = _which(lambda value: type(value) is str and value in _zones(), "not an IANA time zone")
_month = _which(
    lambda value: type(value) is str and bool(_MONTH.fullmatch(value)),
    "not a month YYYY-MM of the years 2000 to 2100",
    "{}-01".format,  # its first day
)


def _amount(value: object) -> str:
    text = _number(value)
    if text.startswith("-"):
        raise BadRecord("less than 0")
    return text


def _modules(value: object) -> str:
    if type(value) is not list or "" in value:
        raise BadRecord("not a list of module ids")
    return orjson.dumps([identifier(item) for item in value]).decode()


DIMENSIONS = (
    *("contact", "experience", "module", "conversation", "channel"),
    *("inbox", "user", "bot", "department", "device"),
)
# Own fields of each event type. A `?` marks one that is not required.
OWN: Mapping[str, str] = {
    **dict.fromkeys(("chat_start", "click", "module_visit", "email_entered", "picture_upload"), ""),
    **dict.fromkeys(("appointment", "contact_deleted", "visit", "routed", "notification"), ""),
    "bot_start": "",
    "message": "from",
    "screen_time": "seconds",
    "decision": "option",
    "opt_in": "topic step",
    "share": "via",
    "participation": "won?",
    "data_entered": "field",
    "door_opened": "door",
    "nps": "score text?",
    "pin": "step",
    "code_entry": "correct",
    "quiz_answer": "question answer correct",
    "points": "points",
    "coupon": "step amount?",
    "live_chat": "seconds",
    "result": "result_type category?",
    "field_set": "field",
    "chatpoint": "name",
    "bot_points": "points",
}
# Entities: their fields beside `type`, `tenant` and `id`.
ENTITIES: Mapping[str, str] = {
    "tenant": "name timezone business_type session_rule session_minutes conversation_url",
    "folder": "name",
    "experience": "name folder",
    "module": "name experience module_type position next",
    "location": "name active",
    "department": "name location active",
    "inbox": "name department",
    "channel": "name channel_type active",
    "user": "name role level department active",
    "bot": "name description active",
    "potential": (
        "month inbound_leads workshop_jobs sales_advisors service_advisors website_visitors"
    ),
}
# How a field is checked, of all types or of one; what is not named here is a text.
CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(("id", "tenant", "folder", "location", *DIMENSIONS), identifier),
    **dict.fromkeys(("active", "won", "correct"), _flag),
    **dict.fromkeys(("seconds", "points"), _number),
    **dict.fromkeys(("amount", "screen_time.seconds"), _amount),
    **dict.fromkeys(ENTITIES["potential"].split(), _amount),
    "month": _month,
    "at": instant,
    "device": _one_of("desktop mobile tablet"),
    "from": _one_of("contact bot user"),
    "topic": _one_of("web_push reminder newsletter sms profiling"),
    "opt_in.step": _one_of("asked single double rejected out"),
    "pin.step": _one_of("sent succeeded failed"),
    "coupon.step": _one_of("uploaded issued entered"),
    "via": _one_of("facebook email native twitter whatsapp link"),
    "score": _integer(0, 10),
    "result_type": _one_of("lead service"),
    "timezone": _zone,
    "business_type": _one_of("dealership brand financial_services other"),
    "session_rule": _one_of("inactivity fixed"),
    "session_minutes": _integer(1, 1440),
    "position": _integer(-(2**31), 2**31 - 1),
    "next": _modules,
    "channel_type": _one_of("web whatsapp facebook email sms other"),
    "level": _integer(0, 3),
}
DEFAULTS = {"timezone": "UTC", "business_type": "other", "session_rule": "inactivity"}
DEFAULTS |= {"session_minutes": "30", "active": "t", "amount": "1"}
# Columns of each kind's table that a record fills, in the order of its values; `tenant_no` and
# `load_no` come before them.
COLUMNS: Mapping[str, Sequence[str]] = {
    EVENT: (
        *("at", "id", "type", *DIMENSIONS, "sender", "seconds", "option", "topic", "step", "via"),
        *("won", "field", "door", "score", "text", "correct", "question", "answer", "points"),
        *("amount", "result_type", "category", "name", "extra", "content"),
    ),
    **{kind: ("id", *fields.split(), "extra") for kind, fields in ENTITIES.items()},
    "potential": (*ENTITIES["potential"].split(), "ends", "extra"),
}


def check(type_name: str, field: str) -> Check:
    """Return how a field of a record type is checked."""
    return CHECKS.get(f"{type_name}.{field}") or CHECKS.get(field, plain_text)
