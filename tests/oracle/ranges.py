"""The range that a question uses, and its buckets.

In: a question, a tenant's clock and now. Out: the range cut at now and widened, the one
before it, and the buckets that a range is cut into.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from .clock import TICK, Clock
from .question import Question


@dataclass(frozen=True)
class Span:
    """A half-open range of instants; one whose ends are the same is empty."""

    start: datetime
    end: datetime

    def holds(self, at: datetime) -> bool:
        """Whether an instant lies in the range."""
        return self.start <= at < self.end


@dataclass(frozen=True)
class Bucket:
    """A bucket that a range meets: its key and its own local start."""

    key: date | datetime
    start: datetime


def used_span(question: Question, clock: Clock, now: datetime) -> Span:
    """The range that a question uses on one tenant's clock."""
    start, end = question.start, question.end
    if question.dates is not None:
        start, end = (clock.day_start(day) for day in question.dates)
    end = min(end, clock.end(question.grain, now))
    if start >= end:
        return Span(end, end)
    if question.dates is None or question.grain == "month":
        start = clock.start(question.grain, start)
        # The last instant inside decides: an end on a boundary stays.
        end = clock.end(question.grain, end - TICK)
    return Span(start, end)


def previous_span(grain: str, clock: Clock, span: Span) -> Span:
    """As many local hours, days or months directly before a range."""
    start = span.start
    for _ in buckets(grain, clock, span):
        start = clock.start(grain, start - TICK)
    return Span(start, span.start)


def buckets(interval: str, clock: Clock, span: Span) -> list[Bucket]:
    """The buckets that a range meets, in order."""
    found = []
    at = span.start
    while at < span.end:
        found.append(Bucket(clock.key(interval, at), clock.start(interval, at)))
        at = clock.end(interval, at)
    return found
