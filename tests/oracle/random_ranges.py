"""Random ranges of questions, near the data and on the edges of the rules.

In: a source of chance, an instant of the data, the asked tenant's zone and now. Out: the
fields `from`, `to` and perhaps `timezone` of a question.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

from .clock import DAY, HOUR, clock, known_zone

MICRO = timedelta(microseconds=1)
MILLI = timedelta(milliseconds=1)
VIEWERS = (
    "Europe/Amsterdam",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "UTC",
    "utc",
)
KINDS = (
    *("tiny", "hours", "edge", "weeks", "now", "long", "so_far"),
    *("days", "months", "viewer") * 2,
)
#: The numbers that `last` takes with each unit.
LASTS = {
    "hour": (1, 1, 2, 5, 24, 25, 48, 71, 72, 100, 168, 360),
    "day": (1, 1, 2, 3, 7, 7, 14, 30, 30, 90, 92, 93, 100),
    "week": (1, 1, 2, 4, 4, 12, 13, 14),
    "month": (1, 1, 1, 2, 3, 4, 6),
}
NOMINAL_DAYS = {"hour": 1 / 24, "day": 1, "week": 7, "month": 31}
NO_VIEWERS = ("browser", "Nowhere/Land", "${__timezone}")


def spelled(at: datetime, rng: random.Random) -> str:
    """An instant as RFC 3339, now and then with an offset or as milliseconds."""
    choice = rng.random()
    if choice < 0.1 and at.microsecond % 1000 == 0:
        return str((at - datetime(1970, 1, 1, tzinfo=UTC)) // MILLI)
    if choice < 0.2:
        shifted = at.replace(tzinfo=None) + timedelta(hours=5, minutes=30)
        return f"{shifted.isoformat()}+05:30"
    return f"{at.replace(tzinfo=None).isoformat()}Z"


def random_range(
    rng: random.Random,
    near: datetime,
    zone: str,
    now: datetime,
    shortest: timedelta,
    longest: timedelta,
) -> dict:
    """A valid range of at least `shortest` and at most `longest`, mostly around `near`."""
    around = rng.random() < 0.8
    for _ in range(50):
        start, end, viewer = _one(rng, near, zone, now)
        fits = start < end and shortest <= end - start <= longest
        if fits and (start <= near < end or not around):
            break
    else:
        length = min(longest, max(shortest, DAY))
        start, end, viewer = near - length / 2, near + length / 2, None
    fields = {"from": spelled(start, rng), "to": spelled(end, rng)}
    if viewer is not None:
        fields["timezone"] = viewer
    elif rng.random() < 0.08:
        fields["timezone"] = rng.choice((*NO_VIEWERS, *VIEWERS))
    return fields


def random_last(rng: random.Random, longest: timedelta) -> str:
    """So many whole hours, days, weeks or months, at most about as long as `longest`."""
    fitting = [
        (number, unit)
        for unit, numbers in LASTS.items()
        for number in numbers
        if number * NOMINAL_DAYS[unit] <= longest / DAY
    ]
    number, unit = rng.choice(fitting)
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def random_dates(
    rng: random.Random, near: datetime, zone: str, shortest: timedelta, longest: timedelta
) -> dict[str, str]:
    """Calendar dates around an instant: the first, and the one after the last."""
    lengths = (1, 1, 2, 3, 4, 7, 14, 28, 30, 31, 60, 92, 93, 365, 401)
    fitting = [days for days in lengths if shortest <= timedelta(days=days) <= longest]
    days = rng.choice(fitting)
    first = clock(zone).date_of(near) - timedelta(
        days=rng.choice((0, 0, days - 1, days // 2, days))
    )
    if rng.random() < 0.2:
        first = first.replace(day=1)
    return {"from": f"{first}", "to": f"{first + timedelta(days=days)}"}


def _one(
    rng: random.Random, near: datetime, zone: str, now: datetime
) -> tuple[datetime, datetime, str | None]:
    """A range of a random kind, perhaps with a viewer's zone."""
    kind = rng.choice(KINDS)
    if kind == "viewer":
        return _viewed(rng, near)
    day = clock(zone).date_of(near)
    if kind == "days":
        start, end = _dates(zone, day, rng.choice((0, 0, 1, 2, 6)), rng.choice((1, 1, 2, 3, 7, 14)))
    elif kind == "weeks":
        back, days = rng.randint(0, 50), rng.choice((14, 28, 30, 60, 91, 92, 93))
        start, end = _dates(zone, day, back, days)
    elif kind == "months":
        start, end = _months(rng, zone, day)
    elif kind == "now":
        start = now + timedelta(minutes=rng.choice((-60_000, -9000, -1000, -90, -5, 5, 50, 900)))
        end = start + timedelta(minutes=rng.choice((30, 120, 2000, 5000, 50_000)))
    elif kind == "so_far":
        start, end = _so_far(rng, zone, now)
    elif kind == "long":
        start = near - timedelta(days=rng.randint(0, 500))
        end = start + timedelta(days=rng.choice((399, 400, 401, 600)))
    else:
        start, end = _around(rng, kind, near)
    return start, end, None


def _around(rng: random.Random, kind: str, near: datetime) -> tuple[datetime, datetime]:
    """A short range (tiny, hours) that holds an instant of the data, or has it at an edge."""
    if kind == "tiny":
        span = rng.choice((MICRO, MILLI, timedelta(seconds=1), HOUR / 2, HOUR))
        start = near - rng.choice((timedelta(0), MICRO, span / 2))
        return start, start + span
    if kind == "hours":
        start = near - timedelta(minutes=rng.randint(0, 3000))
        hours = rng.choice((1, 5, 24, 25, 71, 72, 73, 100, rng.randint(1, 90)))
        return start, start + hours * HOUR + rng.choice((0, 0, 1, -1)) * MICRO
    # The instant of the data is just inside or just outside of an end.
    other = timedelta(minutes=rng.randint(10, 9000))
    if rng.random() < 0.5:
        return near + rng.choice((0, 1)) * MICRO, near + other
    return near - other, near + rng.choice((0, 1)) * MICRO


def _months(rng: random.Random, zone: str, day: date) -> tuple[datetime, datetime]:
    """Whole local months of the tenant, or an hour more."""
    local = clock(zone)
    first = (day.replace(day=1) - timedelta(days=rng.choice((0, 1, 40)))).replace(day=1)
    last = (first + timedelta(days=rng.choice((32, 32, 63, 180, 400)))).replace(day=1)
    start, end = local.day_start(first), local.day_start(last)
    return start + rng.choice((0, 0, 0, -1)) * HOUR, end + rng.choice((0, 0, 0, 1)) * HOUR


def _so_far(rng: random.Random, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Today, this week, this month or some months until now, or until later."""
    local = clock(zone)
    begins = [local.start(bucket, now) for bucket in ("day", "week", "month", "month")]
    first = local.date_of(now).replace(day=1)
    begins.append(local.day_start((first - timedelta(days=40)).replace(day=1)))
    start = rng.choice(begins)
    ends = [now, local.end("hour", now), local.end("day", now), local.end("month", now)]
    end = rng.choice([*ends, now + timedelta(days=3)])
    return start, end


def _dates(zone: str, day: date, back: int, days: int) -> tuple[datetime, datetime]:
    """Whole local days of the tenant."""
    local = clock(zone)
    first = day - timedelta(days=back)
    return local.day_start(first), local.day_start(first + timedelta(days=days))


def _viewed(rng: random.Random, near: datetime) -> tuple[datetime, datetime, str]:
    """Whole days of a viewer, the end perhaps a millisecond early."""
    name = rng.choice(VIEWERS)
    viewer = known_zone(name)
    assert viewer is not None
    first = viewer.date_of(near) - timedelta(days=rng.choice((0, 0, 1, 2, 20)))
    if rng.random() < 0.2:
        first = first.replace(day=1)
    days = rng.choice((1, 1, 2, 3, 4, 7, 28, 31, 45, 100))
    start, end = viewer.day_start(first), viewer.day_start(first + timedelta(days=days))
    # At 72 hours exactly a millisecond less would leave open which side of the rule it is.
    if rng.random() < 0.5 and end - start != 72 * HOUR:
        end -= MILLI
    return start, end, name
