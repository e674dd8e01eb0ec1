"""The oracle's clock against a walk through every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from .clock import clock

MINUTE = timedelta(minutes=1)
#: Zones and instants (UTC) near their clock changes.
PLACES = [
    ("Europe/Amsterdam", "2026-03-29T01:00"),
    ("Europe/Amsterdam", "2025-10-26T01:00"),
    ("America/New_York", "2025-11-02T06:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2025-10-04T15:30"),
    ("America/Havana", "2026-03-08T05:00"),
    ("America/Havana", "2025-11-02T05:00"),
    ("Asia/Beirut", "2026-03-28T22:00"),
    ("Asia/Beirut", "2025-10-25T21:00"),
    ("Asia/Kathmandu", "2026-01-01T00:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("America/St_Johns", "2006-10-29T02:31"),
    ("Africa/Casablanca", "2026-03-22T02:00"),
]


@pytest.mark.parametrize(("name", "near"), PLACES)
def test_every_minute(name: str, near: str) -> None:
    zone = ZoneInfo(name)
    middle = datetime.fromisoformat(near).replace(tzinfo=UTC)
    at, stop = middle - timedelta(days=4), middle + timedelta(days=4)
    hours: list[datetime] = []
    days: list[datetime] = []
    shown = at.astimezone(zone)
    offset, latest = shown.utcoffset(), shown.date()
    while at < stop:
        shown = at.astimezone(zone)
        if shown.minute == 0 or shown.utcoffset() != offset:
            hours.append(at)
        if shown.date() > latest:
            days.append(at)
            latest = shown.date()
        offset = shown.utcoffset()
        at += MINUTE
    for bucket, starts in (("hour", hours), ("day", days)):
        for start, end in pairwise(starts):
            for inside in (start, start + (end - start) / 2, end - timedelta(microseconds=1)):
                assert clock(name).start(bucket, inside) == start
                assert clock(name).end(bucket, inside) == end


def test_weeks_and_months() -> None:
    amsterdam = clock("Europe/Amsterdam")
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert amsterdam.start("week", at) == datetime(2025, 12, 28, 23, tzinfo=UTC)
    assert amsterdam.end("week", at) == datetime(2026, 1, 4, 23, tzinfo=UTC)
    assert amsterdam.start("month", at) == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert amsterdam.end("month", at) == datetime(2026, 1, 31, 23, tzinfo=UTC)
    march = datetime(2026, 3, 31, 21, 59, tzinfo=UTC)
    assert amsterdam.start("month", march) == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert amsterdam.end("month", march) == datetime(2026, 3, 31, 22, tzinfo=UTC)
