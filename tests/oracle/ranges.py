"""The range that a question uses, its buckets, and both moved back for a comparison.

In: a question, a tenant's clock and now. Out: the range cut at now and widened, the parts of
it that lie in each bucket, and where its ends are moved to.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from .clock import DAY, TICK, Clock
from .question import Question

#: How many days back the ranges of `usual` lie.
USUAL_DAYS = (7, 14, 21, 28)


@dataclass(frozen=True)
class Span:
    """A half-open range of instants; one whose ends are the same is empty."""

    start: datetime
    end: datetime

    @property
    def empty(self) -> bool:
        """Whether no instant lies in the range."""
        return self.start >= self.end

    def holds(self, at: datetime) -> bool:
        """Whether an instant lies in the range."""
        return self.start <= at < self.end


@dataclass(frozen=True)
class Bucket:
    """A bucket that a range meets: its key, its own local start, and the range's part in it."""

    key: date | datetime
    start: datetime
    part: Span


@dataclass(frozen=True)
class Shift:
    """A move back by a number of hours, days or months."""

    unit: str
    number: int


def used_span(question: Question, clock: Clock, now: datetime) -> Span:
    """The range that a question uses on one tenant's clock."""
    grain = question.grain
    start, end = question.range.ends(clock, now)
    end = min(end, clock.end(grain, now))
    if start >= end:
        return Span(end, end)
    if grain == "month" or question.range.dates is None:
        start = clock.start(grain, start)
        # The last instant inside decides: an end on a boundary stays.
        end = clock.end(grain, end - TICK)
    return Span(start, end)


def buckets(interval: str, clock: Clock, span: Span) -> list[Bucket]:
    """The buckets that a range meets, in order."""
    found = []
    at = span.start
    while at < span.end:
        end = clock.end(interval, at)
        part = Span(at, min(end, span.end))
        found.append(Bucket(clock.key(interval, at), clock.start(interval, at), part))
        at = end
    return found


# Moved back


def previous_shift(question: Question, clock: Clock, span: Span, now: datetime) -> Shift:
    """How far a range is moved back to what it is compared with."""
    months = buckets("month", clock, span)
    dates = buckets("day", clock, span)
    begins_with_month = span.start == clock.start("month", span.start)
    ends_with_month = span.end == clock.end("month", span.end - TICK)
    until_now = span.end in (clock.end("hour", now), clock.end("day", now))
    if (
        question.grain == "month"
        or (begins_with_month and ends_with_month)
        or (begins_with_month and until_now and len(dates) > 1)
    ):
        return Shift("month", len(months))
    if span.start == clock.start("day", span.start):
        return Shift("day", len(dates))
    return Shift("hour", len(buckets("hour", clock, span)))


@lru_cache(maxsize=200_000)
def moved(at: datetime, shift: Shift, clock: Clock) -> datetime:
    """The end of a range or of a part, moved back."""
    if shift.unit == "hour":
        for _ in range(shift.number):
            at = clock.start("hour", at - TICK)
        return at
    shown = clock.shown(at)
    if shift.unit == "day":
        return clock.first_showing(shown - shift.number * DAY)
    first = month_before(shown.date(), shift.number)
    if shown.day > monthrange(first.year, first.month)[1]:
        return clock.end("month", clock.day_start(first))
    return clock.first_showing(shown.replace(year=first.year, month=first.month))


def moved_span(span: Span, shift: Shift, clock: Clock) -> Span:
    """A range or a part, moved back; it may be left empty."""
    return Span(moved(span.start, shift, clock), moved(span.end, shift, clock))


def moved_part(part: Span, whole: Span, shift: Shift, clock: Clock) -> Span:
    """A range's part, moved back so that the parts add up to the moved range.

    Where the clock went back inside the range, an hour that shows earlier times than those before
    it does not count them again: it begins where they ended.
    """
    return Span(*(latest_moved(at, whole, shift, clock) for at in (part.start, part.end)))


def latest_moved(at: datetime, whole: Span, shift: Shift, clock: Clock) -> datetime:
    """The latest end to which an hour of the day up to `at`, inside the range, is moved."""
    found = moved(at, shift, clock)
    hour = max(whole.start, clock.start("hour", at - DAY))
    while hour < at:
        found = max(found, moved(hour, shift, clock))
        hour = clock.end("hour", hour)
    return found


def month_before(day: date, months: int) -> date:
    """The first date of the month that lies so many months before a date's."""
    first = day.replace(day=1)
    for _ in range(months):
        first = (first - DAY).replace(day=1)
    return first


def usual_shifts(clock: Clock, span: Span, first_event: datetime | None) -> list[Shift]:
    """The moves by weeks that do not lead before the day of a tenant's first event."""
    if first_event is None:
        return []
    known_from = clock.start("day", first_event)
    shifts = [Shift("day", days) for days in USUAL_DAYS]
    return [shift for shift in shifts if moved(span.start, shift, clock) >= known_from]


def is_within_days(span: Span, clock: Clock, days: int) -> bool:
    """Whether a range lasts at most so many local days, from clock time to the same clock time."""
    latest = clock.first_showing(clock.shown(span.start) + timedelta(days=days))
    return span.end <= latest
