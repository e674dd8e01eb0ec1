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
SAFE_CHARACTERS = INDEXED_BYTES // 4


class BadRecord(Exception):
    """A record that breaks the input contract; `str()` is the plain reason."""


# Turns a value that is neither null nor empty into a column's text; raises BadRecord.
Check = Callable[[object], str]


def instant(text: str) -> str:
    """Return a time of RFC 3339 as PostgreSQL reads it, to the microsecond, with its offset.

    Raises BadRecord when it has another form or no offset, does not exist, or lies outside the
    years 2000 to 2100 in UTC.
    """
    match = _TIME.fullmatch(text)
    if not match:
        raise BadRecord("not an RFC 3339 time with an offset")
    day, clock, fraction, offset = match.groups()
    try:
        # PostgreSQL refuses offsets beyond 15:59, so it gets UTC.
        local = f"{day} {clock}{fraction or ''}{offset or '+00:00'}"
        moment = datetime.fromisoformat(local).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRecord("a time that does not exist") from None
    if not 2000 <= moment.year <= 2100:
        raise BadRecord("outside the years 2000 to 2100")
    return moment.isoformat(" ")


_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(\.[0-9]{1,6})?(?(3)[0-9]*)(?:[Zz]|([+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
)


# The usual spelling, which needs no calendar to check and PostgreSQL reads as it is.
_USUAL_TIME = re.compile(
    r"20[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?Z"
)


def clock_time(value: object) -> str:
    """Check an event's time, as `instant` does."""
    if type(value) is not str:
        raise BadRecord("not an RFC 3339 time with an offset")
    return value if _USUAL_TIME.fullmatch(value) else instant(value)


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
    if len(text) > SAFE_CHARACTERS:
        raw = text.encode()
        if len(raw) > INDEXED_BYTES and len(zlib.compress(raw)) > INDEXED_ZIPPED_BYTES:
            raise BadRecord(f"longer than {INDEXED_BYTES:,} bytes")
    return text


def _number(value: object) -> str:
    if type(value) is int or type(value) is float:
        return repr(value)
    raise BadRecord("not a number")


def _amount(value: object) -> str:
    text = _number(value)
    if text.startswith("-"):
        raise BadRecord("less than 0")
    return text


def _integer(low: int, high: int) -> Check:
    def check(value: object) -> str:
        if type(value) is not int or not low <= value <= high:
            raise BadRecord(f"not an integer from {low} to {high}")
        return str(value)

    return check


def _flag(value: object) -> str:
    if value is True:
        return "t"
    if value is False:
        return "f"
    raise BadRecord("not true or false")


def _one_of(*names: str) -> Check:
    known = {name: name for name in names}

    def check(value: object) -> str:
        if type(value) is not str or value not in known:
            raise BadRecord("not one of " + ", ".join(names))
        return value

    return check


def _zone(value: object) -> str:
    if type(value) is not str or value not in _zones():
        raise BadRecord("not an IANA time zone")
    return value


@cache
def _zones() -> frozenset[str]:
    # The two are files beside the zones, and no zones.
    return frozenset(available_timezones() | {"UTC"}) - {"localtime", "Factory"}


def month(value: object) -> str:
    """Check a month and return its first day."""
    if type(value) is not str or not _MONTH.fullmatch(value):
        raise BadRecord("not a month YYYY-MM of the years 2000 to 2100")
    return f"{value}-01"


_MONTH = re.compile(r"(?:20[0-9]{2}|2100)-(?:0[1-9]|1[0-2])")


def _modules(value: object) -> str:
    if type(value) is not list or "" in value:
        raise BadRecord("not a list of module ids")
    return orjson.dumps([identifier(item) for item in value]).decode()


DIMENSIONS: Mapping[str, Check] = {
    **dict.fromkeys(("contact", "experience", "module", "conversation", "channel"), identifier),
    **dict.fromkeys(("inbox", "user", "bot", "department"), identifier),
    "device": _one_of("desktop", "mobile", "tablet"),
}
# Own fields of each event type. A `?` marks one that is not required.
OWN: Mapping[str, Mapping[str, Check]] = {
    "chat_start": {},
    "message": {"from": _one_of("contact", "bot", "user")},
    "click": {},
    "screen_time": {"seconds": _amount},
    "module_visit": {},
    "decision": {"option": plain_text},
    "opt_in": {
        "topic": _one_of("web_push", "reminder", "newsletter", "sms", "profiling"),
        "step": _one_of("asked", "single", "double", "rejected", "out"),
    },
    "share": {"via": _one_of("facebook", "email", "native", "twitter", "whatsapp", "link")},
    "participation": {"won?": _flag},
    "email_entered": {},
    "data_entered": {"field": plain_text},
    "door_opened": {"door": plain_text},
    "nps": {"score": _integer(0, 10), "text?": plain_text},
    "pin": {"step": _one_of("sent", "succeeded", "failed")},
    "code_entry": {"correct": _flag},
    "quiz_answer": {"question": plain_text, "answer": plain_text, "correct": _flag},
    "picture_upload": {},
    "points": {"points": _number},
    "coupon": {"step": _one_of("uploaded", "issued", "entered"), "amount?": _amount},
    "appointment": {},
    "contact_deleted": {},
    "live_chat": {"seconds": _number},
    "visit": {},
    "routed": {},
    "result": {"result_type": _one_of("lead", "service"), "category?": plain_text},
    "field_set": {"field": plain_text},
    "notification": {},
    "bot_start": {},
    "chatpoint": {"name": plain_text},
    "bot_points": {"points": _number},
}
# Entities: their fields beside `type`, `tenant` and `id`, in the order of the table's columns.
ENTITIES: Mapping[str, Mapping[str, Check]] = {
    "tenant": {
        "name": plain_text,
        "timezone": _zone,
        "business_type": _one_of("dealership", "brand", "financial_services", "other"),
        "session_rule": _one_of("inactivity", "fixed"),
        "session_minutes": _integer(1, 1440),
        "conversation_url": plain_text,
    },
    "folder": {"name": plain_text},
    "experience": {"name": plain_text, "folder": identifier},
    "module": {
        "name": plain_text,
        "experience": identifier,
        "module_type": plain_text,
        "position": _integer(-(2**31), 2**31 - 1),
        "next": _modules,
    },
    "location": {"name": plain_text, "active": _flag},
    "department": {"name": plain_text, "location": identifier, "active": _flag},
    "inbox": {"name": plain_text, "department": identifier},
    "channel": {
        "name": plain_text,
        "channel_type": _one_of("web", "whatsapp", "facebook", "email", "sms", "other"),
        "active": _flag,
    },
    "user": {
        "name": plain_text,
        "role": plain_text,
        "level": _integer(0, 3),
        "department": identifier,
        "active": _flag,
    },
    "bot": {"name": plain_text, "description": plain_text, "active": _flag},
    "potential": {
        "inbound_leads": _amount,
        "workshop_jobs": _amount,
        "sales_advisors": _amount,
        "service_advisors": _amount,
        "website_visitors": _amount,
    },
}
DEFAULTS = {
    "tenant": {
        "timezone": "UTC",
        "business_type": "other",
        "session_rule": "inactivity",
        "session_minutes": "30",
    },
    "coupon": {"amount": "1"},
    **{kind: {"active": "t"} for kind, fields in ENTITIES.items() if "active" in fields},
}
EVENT_COLUMNS = (
    *("at", "id", "type", *DIMENSIONS, "sender", "seconds", "option", "topic", "step", "via"),
    *("won", "field", "door", "score", "text", "correct", "question", "answer", "points"),
    *("amount", "result_type", "category", "name", "extra", "content"),
)
# Columns of each kind's table that a record fills, in the order of its `row`; `tenant_no` and
# `load_no` come before them.
COLUMNS: Mapping[str, Sequence[str]] = {
    EVENT: EVENT_COLUMNS,
    **{kind: ("id", *fields, "extra") for kind, fields in ENTITIES.items()},
    "potential": ("month", *ENTITIES["potential"], "ends", "extra"),
}
