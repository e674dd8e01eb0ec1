"""Demo data: made-up organizations with two years of chats, the same for the same arguments.

The records follow the input contract. Nothing in them comes from a real organization.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from .story import DAY, MINUTE, Story
from .world import TENANTS, cast

__all__ = ["lines", "tenants"]


def tenants() -> list[str]:
    """Return the ids of the demo's organizations, the largest first."""
    return [tenant.id for tenant in TENANTS]


def lines(
    events: int = 1_000_000, seed: int = 1, days: int = 730, until: datetime | None = None
) -> Iterator[bytes]:
    """Give the records as NDJSON lines (UTF-8, each with its line break): entities, then events.

    `events` is the number of different events; about two in a thousand come twice. They happen
    on the `days` local dates up to `until` (aware; default: now, cut to the minute), none later,
    ordered by time but for a few late ones; their times are written in UTC. The same arguments
    give the same bytes. At the first line: ValueError for a number below 1 or an `until` without
    a zone.
    """
    if min(events, days) < 1:
        raise ValueError("events and days have to be at least 1")
    until = until or datetime.now(UTC).replace(second=0, microsecond=0)
    if until.tzinfo is None:
        raise ValueError("until needs a time zone")
    end = int(until.timestamp() * 1000)
    out: list[tuple[int, str]] = []
    stories = []
    left = events
    for tenant in reversed(TENANTS):  # the largest takes what rounding leaves
        last = until.astimezone(ZoneInfo(tenant.zone)).date()
        first = max(0, days - (tenant.starts or days))
        stop = max(first + 1, days - tenant.silent)
        dates = [last - timedelta(days=days - 1 - n) for n in range(first, days)]
        quota = left if tenant is TENANTS[0] else int(events * tenant.share)
        left -= quota
        months = list(dict.fromkeys(f"{day:%Y-%m}" for day in dates))
        people = cast(tenant, months, quota / (stop - first) * 30)
        for record in people.records:
            yield json.dumps(record, separators=(",", ":")).encode() + b"\n"
        story = Story(tenant, people, seed, end, quota, dates[: stop - first], out)
        stories.append((range(first, stop), story))
    for n in range(days):
        for span, story in stories:
            if n in span:
                story.day(span.index(n))
        out.sort()
        # Every zone has told its days up to ten o'clock UTC of the last date.
        told = (end // DAY - days + 1 + n) * DAY + 600 * MINUTE
        cut = len(out) if n == days - 1 else bisect_left(out, (told, ""))
        yield from (line.encode() + b"\n" for _, line in out[:cut])
        del out[:cut]
