"""Hits folded into answers: totals, series, cumulated series, previous, distributions.

In: what a question found, tenant by tenant. Out: rows as in cases.ndjson.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction

from .clock import Clock, clock
from .kpis import Kpi
from .question import Question, QuestionError
from .ranges import Span, buckets
from .sources import Hit
from .values import Number, summed, together

Group = tuple[str, ...]
Key = date | datetime
MAX_POINTS = 100_000


@dataclass(frozen=True)
class Found:
    """A hit that a question found: whose it is, in which group, and if it is of the base."""

    tenant: str
    group: Group
    hit: Hit
    base: bool = False


def plain(value: Number | None) -> Number | None:
    """A whole number as an int."""
    if isinstance(value, Fraction) and value.denominator == 1:
        return value.numerator
    return value


def zero_filled(kpi: Kpi) -> bool:
    """Whether the KPI of nothing is 0 (a count or sum) and not null."""
    return kpi.how in ("count", "sum", "distinct")


class Tally:
    """Adds up what was found and says what the KPI of it is."""

    def __init__(self, kpi: Kpi) -> None:
        self.kpi = kpi
        self.top: Number = 0
        self.base: Number = 0
        self.entities: set[tuple[str, str | None]] = set()
        self.months: dict[str, list[Number | None]] = {}

    def add(self, found: Found) -> None:
        """Count one thing that was found."""
        if self.kpi.how == "value":
            self.months.setdefault(found.tenant, []).append(found.hit.amount)
        elif self.kpi.how == "distinct":
            # Ids are unique within their tenant only.
            self.entities.add((found.tenant, found.hit.entity))
        elif found.base:
            self.base += found.hit.amount
        else:
            self.top += found.hit.amount

    def result(self) -> Number | None:
        """The KPI of what was added so far."""
        if self.kpi.how == "value":
            return plain(summed(together(self.kpi.id, each) for each in self.months.values()))
        if self.kpi.how == "distinct":
            return len(self.entities)
        if self.kpi.how == "ratio":
            return plain(Fraction(self.kpi.factor * self.top) / self.base) if self.base else None
        return plain(self.top)


def tally(kpi: Kpi, founds: list[Found]) -> Number | None:
    """The KPI of all that was found."""
    adding = Tally(kpi)
    for found in founds:
        adding.add(found)
    return adding.result()


def listed_groups(question: Question, founds: list[Found]) -> list[Group]:
    """The groups of an answer, ordered by their ids; without `by` there is always one."""
    if not question.by:
        return [()]
    counted = [f for f in founds if f.base] if question.kpi.how == "ratio" else founds
    return sorted({found.group for found in counted})


def _row(question: Question, group: Group) -> dict:
    """The start of a row: the dims of its group, when there are any."""
    if not question.by:
        return {}
    return {"dims": dict(zip(question.by, group, strict=True))}


# Totals


def total(question: Question, founds: list[Found], before: list[Found] | None) -> list[dict]:
    """A row per group with its value, and the previous one when compared."""
    rows = []
    for group in listed_groups(question, founds):
        row = _row(question, group)
        row["value"] = tally(question.kpi, [f for f in founds if f.group == group])
        if before is not None:
            row["previous"] = tally(question.kpi, [f for f in before if f.group == group])
        rows.append(row)
    return rows


# Series


def _clock_of_points(question: Question, clocks: dict[str, Clock]) -> Clock | None:
    """Whose midnights the points of several tenants stand at; None for a single tenant."""
    if len(clocks) < 2:
        return None
    names = {each.name for each in clocks.values()}
    if question.interval == "hour" and len(names) > 1:
        raise QuestionError("zones_differ", "hours of several tenants need one time zone")
    if question.viewer is not None:
        return question.viewer
    return clock(names.pop()) if len(names) == 1 else clock("UTC")


def points_of(
    question: Question, clocks: dict[str, Clock], spans: dict[str, Span]
) -> list[tuple[Key, datetime]]:
    """The buckets of all tenants met by key, each with the instant of its point."""
    shared = _clock_of_points(question, clocks)
    starts: dict[Key, datetime] = {}
    for tenant, span in spans.items():
        for bucket in buckets(question.interval, clocks[tenant], span):
            at = bucket.start
            if shared is not None and question.interval != "hour":
                assert not isinstance(bucket.key, datetime)
                at = shared.day_start(bucket.key)
            starts[bucket.key] = at
    return sorted(starts.items())


def _values(
    question: Question, clocks: dict[str, Clock], keys: list[Key], founds: list[Found]
) -> Callable[[Group], list[Number | None]]:
    """What gives a group's value at each key, cumulated if that was asked."""
    cells: dict[tuple[Group, Key], list[Found]] = {}
    for found in founds:
        key = clocks[found.tenant].key(question.interval, found.hit.at)
        cells.setdefault((found.group, key), []).append(found)

    def values(group: Group) -> list[Number | None]:
        result = []
        adding = Tally(question.kpi)
        for key in keys:
            if question.shape != "cumulative":
                adding = Tally(question.kpi)
            for found in cells.get((group, key), []):
                adding.add(found)
            result.append(adding.result())
        return result

    return values


def series(
    question: Question,
    clocks: dict[str, Clock],
    spans: dict[str, Span],
    founds: list[Found],
    spans_before: dict[str, Span],
    before: list[Found] | None,
) -> list[dict]:
    """A row per group with its points, and the previous ones by position when compared."""
    points = points_of(question, clocks, spans)
    groups = listed_groups(question, founds)
    if len(points) * len(groups) > MAX_POINTS:
        raise QuestionError("too_many_points", "the answer has too many points")
    instants = [f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for _, at in points]
    current = _values(question, clocks, [key for key, _ in points], founds)
    earlier = None
    if before is not None:
        keys_before = [key for key, _ in points_of(question, clocks, spans_before)]
        earlier = _values(question, clocks, keys_before, before)
    rows = []
    for group in groups:
        row = _row(question, group)
        row["points"] = _pairs(instants, current(group))
        if earlier is not None:
            row["previous"] = _pairs(instants, earlier(group))
        rows.append(row)
    return rows


def _pairs(instants: list[str], values: list[Number | None]) -> list[list]:
    """Values at instants by position: missing ones are null, a surplus is dropped."""
    pairs = []
    for position, at in enumerate(instants):
        pairs.append([at, values[position] if position < len(values) else None])
    return pairs


# Distribution


def distribution(
    question: Question, clocks: dict[str, Clock], spans: dict[str, Span], founds: list[Found]
) -> list[dict]:
    """The 7 x 24 cells, each the average of its weekday's dates, summed over tenants."""
    cells: dict[tuple[str, date, int], Tally] = {}
    for found in founds:
        local = clocks[found.tenant]
        at = found.hit.at
        key = (found.tenant, local.date_of(at), local.local(at).hour)
        cells.setdefault(key, Tally(question.kpi)).add(found)
    dates: dict[str, list[date]] = {}
    for tenant, span in spans.items():
        days = buckets("day", clocks[tenant], span)
        dates[tenant] = [day.key for day in days]
    rows = []
    for weekday in range(1, 8):
        for hour in range(24):
            averages: list[Number | None] = []
            for tenant, every in dates.items():
                mine = [day for day in every if day.isoweekday() == weekday]
                if mine:
                    there = [cells[tenant, d, hour] for d in mine if (tenant, d, hour) in cells]
                    averages.append(Fraction(sum(t.result() or 0 for t in there), len(mine)))
            value = plain(summed(averages))
            rows.append({"weekday": str(weekday), "hour": str(hour), "value": value})
    return rows
