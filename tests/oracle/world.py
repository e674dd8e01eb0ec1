"""The records as they stand after a load.

In: valid records of the input contract, in load order. Out: per tenant its settings, its
entities (the last record of each), its potentials by month and its events in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

from .clock import Clock, clock

ENTITIES = (
    "folder",
    "experience",
    "module",
    "location",
    "department",
    "inbox",
    "channel",
    "user",
    "bot",
)
#: Fields of an event that are read as text, whether dimensions or its own.
TEXTS = (
    "contact",
    "experience",
    "module",
    "conversation",
    "channel",
    "inbox",
    "user",
    "bot",
    "department",
    "device",
    "from",
    "option",
    "topic",
    "step",
    "via",
    "field",
    "door",
    "question",
    "answer",
    "result_type",
    "category",
)
NUMBERS = ("seconds", "points", "amount")
POTENTIALS = (
    "inbound_leads",
    "workshop_jobs",
    "sales_advisors",
    "service_advisors",
    "website_visitors",
)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))"
)


def number(value: int | float | Decimal) -> Fraction:
    """A JSON number exactly as it was written (a float by its shortest spelling)."""
    return Fraction(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))


def text(value: object) -> str | None:
    """An id or text field as text: a number is its text, empty and null are nothing."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None  # null, or an extra field that only bears the name
    exact = number(value)
    if exact.denominator == 1:
        return str(exact.numerator)
    return format(Decimal(str(value)), "f")


def instant(value: str) -> datetime:
    """An RFC 3339 time as an instant in UTC; digits after microseconds are cut off."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {value!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micro = int(((match[7] or "") + "000000")[:6])
    zone = UTC
    if match[9]:
        shift = timedelta(hours=int(match[10]), minutes=int(match[11]))
        zone = timezone(shift if match[9] == "+" else -shift)
    return datetime(year, month, day, hour, minute, second, micro, zone).astimezone(UTC)


@dataclass(frozen=True)
class Event:
    """One event: its type, id and instant, and the fields that it names."""

    type: str
    id: str
    at: datetime
    texts: dict[str, str]
    numbers: dict[str, Fraction]
    score: int | None = None
    flags: dict[str, bool] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """A text field or dimension that the event names itself, None when it does not."""
        return self.texts.get(name)

    @property
    def key(self) -> tuple[datetime, str]:
        """What "earlier" goes by: the instant, then the id by code point."""
        return (self.at, self.id)


def read_event(record: dict) -> Event:
    """An event from its record."""
    texts = {}
    for name in TEXTS:
        value = text(record.get(name))
        if value is not None:
            texts[name] = value
    numbers = {}
    for name in NUMBERS:
        if record.get(name) not in (None, ""):
            numbers[name] = number(record[name])
    flags = {}
    for name in ("won", "correct"):
        if isinstance(record.get(name), bool):
            flags[name] = record[name]
    score = int(record["score"]) if record["type"] == "nps" else None
    event_id = text(record["id"])
    assert event_id is not None
    return Event(record["type"], event_id, instant(record["at"]), texts, numbers, score, flags)


@dataclass
class Tenant:
    """One tenant: settings, entities {type: {id: record}}, potentials {month: record}, events."""

    id: str
    settings: dict = field(default_factory=dict)
    entities: dict[str, dict[str, dict]] = field(default_factory=dict)
    potentials: dict[str, dict] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def clock(self) -> Clock:
        """The clock of the tenant's time zone."""
        return clock(self.settings.get("timezone") or "UTC")

    @property
    def session_rule(self) -> str:
        """`inactivity` or `fixed`."""
        return self.settings.get("session_rule") or "inactivity"

    @property
    def session_length(self) -> timedelta:
        """L of the session rules."""
        return timedelta(minutes=int(self.settings.get("session_minutes") or 30))

    @property
    def business_type(self) -> str:
        """What the benchmark compares with."""
        return self.settings.get("business_type") or "other"

    def parent(self, kind: str, entity_id: str | None, name: str) -> str | None:
        """A field of an entity's present record as text, None without record or field."""
        if entity_id is None:
            return None
        record = self.entities.get(kind, {}).get(entity_id, {})
        return text(record.get(name))


def read_world(records: Iterable[dict]) -> dict[str, Tenant]:
    """All tenants that any record names, by id."""
    world: dict[str, Tenant] = {}
    seen: set[tuple[str, str]] = set()
    for record in records:
        kind = record["type"]
        owner = text(record["id"] if kind == "tenant" else record["tenant"])
        assert owner is not None
        tenant = world.setdefault(owner, Tenant(owner))
        if kind == "tenant":
            tenant.settings = record
        elif kind in ENTITIES:
            entity_id = text(record["id"])
            assert entity_id is not None
            tenant.entities.setdefault(kind, {})[entity_id] = record
        elif kind == "potential":
            tenant.potentials[record["month"]] = read_potential(record)
        else:
            event = read_event(record)
            # The same id again is had already, or set aside: the first one stands.
            if (owner, event.id) not in seen:
                seen.add((owner, event.id))
                tenant.events.append(event)
    for tenant in world.values():
        tenant.events.sort(key=lambda event: event.key)
    return world


def read_potential(record: dict) -> dict[str, Fraction | None]:
    """The fields that a potential names: a number, or None where it ends one."""
    fields: dict[str, Fraction | None] = {}
    for name in POTENTIALS:
        if name in record and record[name] != "":
            fields[name] = None if record[name] is None else number(record[name])
    return fields
