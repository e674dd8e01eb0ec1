"""Records by which each alert rule fires for one tenant, and others by which it ends."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

Json = dict[str, Any]
NOW = datetime(2027, 3, 17, 14, 5, tzinfo=UTC)  # a Wednesday
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
TENANTS = {"bad": "Europe/Amsterdam", "small": "Europe/Amsterdam", "good": "Europe/Amsterdam"}
# What happens of each kind: enough for an alert, and too little of the same.
MANY, FEW = 40, 4


def events(tenant: str, what: str, at: datetime, count: int, **fields: object) -> Iterator[Json]:
    """Give as many events of a type, a second apart, each of a contact of its own."""
    kind, _, mark = what.partition(" ")
    for n in range(count):
        name = f"{kind}{mark}-{at:%d%H%M}-{n}"
        moment = (at + timedelta(seconds=n)).isoformat()
        event = {"type": kind, "tenant": tenant, "id": name, "contact": name, "at": moment}
        yield event | fields


def conversations(tenant: str, at: datetime, count: int) -> Iterator[Json]:
    """Give after-sales conversations whose contact joins an hour later."""
    for n in range(count):
        names: Json = {"tenant": tenant, "contact": f"after-{n}", "conversation": f"after-{n}"}
        yield {"type": "notification", "id": f"invited-{n}", "at": at.isoformat(), **names}
        joined = {"id": f"joined-{n}", "at": (at + HOUR).isoformat(), "from": "contact"}
        yield {"type": "message", **joined, **names}


def trouble(tenant: str, count: int) -> Iterator[Json]:
    """Give what makes every rule of a tenant fire but the one on stale data, if it is enough."""
    chat: Json = {"experience": "x"}
    yield from events(tenant, "message bounced", NOW - 5 * HOUR, count, **{"from": "bot"}, **chat)
    yield from events(tenant, "nps", NOW - 5 * DAY, count, score=0, **chat)
    yield from events(tenant, "pin", NOW - 5 * HOUR, count, step="failed", **chat)
    for weeks in range(1, 5):
        usual = NOW - weeks * WEEK
        by_bot = {"from": "contact"} | chat
        yield from events(tenant, "message usual", usual - HOUR, count // 4, **by_bot)
        visited = usual - DAY - 2 * HOUR
        yield from events(tenant, "module_visit", visited, 2 * count, module="m", **chat)
    yield from conversations(tenant, NOW - 3 * DAY, count // 3)
    month = {"month": f"{NOW:%Y-%m}", "workshop_jobs": 0}
    yield {"type": "potential", "tenant": tenant, "inbound_leads": 5 * count, **month}


def remedy(tenant: str) -> Iterator[Json]:
    """Give what ends every alert of a tenant that is in trouble."""
    chat: Json = {"experience": "x"}
    # In the last two hours, so that they are sessions of business hours too.
    answered = {"from": "contact", **chat}
    yield from events(tenant, "message answered", NOW - HOUR, MANY, **answered)
    yield from events(tenant, "nps good", NOW - 4 * DAY, 2 * MANY, score=10, **chat)
    yield from events(tenant, "pin good", NOW - 4 * HOUR, 2 * MANY, step="succeeded", **chat)
    visits = {"module": "m", **chat}
    yield from events(tenant, "module_visit back", NOW - DAY - 2 * HOUR, 2 * MANY, **visits)
    for n in range(MANY // 3):
        names = {"conversation": f"after-{n}", "from": "user", "user": "ann"}
        at = (NOW - 2 * HOUR).isoformat()
        yield {"type": "message", "tenant": tenant, "id": f"reply-{n}", "at": at, **names}
    for one in events(tenant, "message lead", NOW - DAY, MANY, **{"from": "contact"}):
        yield one | {"conversation": one["id"]}


def first() -> Iterator[Json]:
    """Give the records of the beginning: one tenant in trouble, others that look like it."""
    zones = TENANTS | {"stale": "UTC", "gone": "UTC", "new": "Asia/Kolkata"}
    for tenant, zone in zones.items():
        yield {"type": "tenant", "id": tenant, "name": tenant.title(), "timezone": zone}
    yield from trouble("bad", MANY)
    yield from trouble("small", FEW)
    yield from trouble("good", MANY)
    yield from remedy("good")
    for tenant, age in (("stale", 60 * HOUR), ("gone", 20 * DAY), ("new", 30 * HOUR)):
        by_bot = {"from": "bot", "experience": "x"}
        yield from events(tenant, "message", NOW - age, 1, **by_bot)


def later() -> Iterator[Json]:
    """Give the records that end every alert."""
    yield from remedy("bad")
    yield from events("stale", "click", NOW - HOUR, 1, experience="x")


# What each rule fires for at first: the tenant, or the installation.
EXPECTED = {
    "bounce_rate_high": {"bad"},
    "nps_low": {"bad"},
    "pin_failures_high": {"bad"},
    "no_sessions": {"bad"},
    "visitors_unusual": {"bad"},
    "after_sales_unanswered": {"bad"},
    "mecs_behind": {"bad"},
    "data_stale": {"stale"},
    "refresh_failing": {""},
    "loader_silent": {""},
}


def age_loads(connection: "psycopg.Connection[Any]", hours: float) -> None:
    """Make all loads older, the last one as if no refresh had taken it in since."""
    connection.execute(
        "UPDATE kpi_admin.load SET loaded_at = now() - %s * interval '1 hour'", [hours]
    )


def held_back(connection: "psycopg.Connection[Any]", folder: Any, records: Iterable[Json]) -> None:
    """Load records that no refresh takes in, three days ago."""
    from tests.agreement import load_records

    load_records(connection, records, folder)
    age_loads(connection, 72)
