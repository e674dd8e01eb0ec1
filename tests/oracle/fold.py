"""Hits folded into answers: totals, series, cumulated series, distributions.

In: what a question found, tenant by tenant. Out: rows as in cases.ndjson. A total is treated
as a series of one point.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction

from .clock import Clock, clock
from .comparison import Comparison
from .question import Question, QuestionError
from .ranges import Bucket, Span, buckets
from .tally import Found, Group, Tally, plain, within
from .values import Number, summed

Key = date | datetime
MAX_POINTS = 100_000


# Groups


def listed_groups(question: Question, founds: list[Found], others: list[Group]) -> list[Group]:
    """The groups of an answer, ordered by their ids; without `by` there is always one.

    `others` are listed whether anything was found of them or not.
    """
    if not question.by:
        return [()]
    counted = [f for f in founds if f.base] if question.kpi.how == "ratio" else founds
    return sorted({found.group for found in counted} | set(others))


def _row(question: Question, group: Group) -> dict:
    """The start of a row: the dims of its group, when there are any."""
    if not question.by:
        return {}
    return {"dims": dict(zip(question.by, group, strict=True))}


# Points


@dataclass
class Point:
    """One point of an answer: where it stands (nowhere for a total), and each tenant's part in it.

    `own` are the tenants that have a bucket here; a cumulated part may be left over from before.
    """

    at: datetime | None
    parts: dict[str, Span] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)


def _shared_clock(question: Question, clocks: dict[str, Clock]) -> Clock | None:
    """Whose midnights the points of several tenants stand at; None for their own."""
    if len(clocks) < 2 or question.interval == "hour":
        return None
    if question.viewer is not None:
        return question.viewer
    names = {each.name for each in clocks.values()}
    return clock(names.pop()) if len(names) == 1 else clock("UTC")


def _refuse_hours_apart(met: dict[str, list[Bucket]]) -> None:
    """Refuse to add up hours that do not begin together."""
    starts = sorted({bucket.start for each in met.values() for bucket in each})
    for each in met.values():
        for bucket in each:
            following = bisect_right(starts, bucket.start)
            if following < len(starts) and starts[following] < bucket.part.end:
                raise QuestionError("zones_differ", "the tenants' hours do not begin together")


def points_of(question: Question, clocks: dict[str, Clock], spans: dict[str, Span]) -> list[Point]:
    """The points of an answer in order, the buckets of all tenants met by date or instant."""
    if question.shape == "total":
        return [Point(None, dict(spans), set(spans))]
    met = {name: buckets(question.interval, clocks[name], span) for name, span in spans.items()}
    if question.interval == "hour" and "tenant" not in question.by:
        _refuse_hours_apart(met)
    shared = _shared_clock(question, clocks)
    points: dict[Key, Point] = {}
    for name, each in met.items():
        for bucket in each:
            at = bucket.start
            if shared is not None:
                assert not isinstance(bucket.key, datetime)
                at = shared.day_start(bucket.key)
            point = points.setdefault(bucket.key, Point(at))
            point.parts[name] = bucket.part
            point.own.add(name)
    in_order = [points[key] for key in sorted(points)]
    if question.shape == "cumulative":
        _cumulate(in_order, spans)
    return in_order


def _cumulate(points: list[Point], spans: dict[str, Span]) -> None:
    """Let each part reach back to the start of its tenant's range."""
    reached: dict[str, Span] = {}
    for point in points:
        for name, part in point.parts.items():
            reached[name] = Span(spans[name].start, part.end)
        point.parts = dict(reached)


def _points_of_group(question: Question, points: list[Point], group: Group) -> list[Point]:
    """The points of a group, with the parts that are about it.

    Grouped by tenant they are the tenant's parts, and its own hours.
    """
    if "tenant" not in question.by:
        return points
    tenant = group[question.by.index("tenant")]
    found = []
    for point in points:
        if question.interval == "hour" and tenant not in point.own:
            continue
        parts = {name: part for name, part in point.parts.items() if name == tenant}
        found.append(Point(point.at, parts, point.own & {tenant}))
    return found


# Totals and series


def answer(
    question: Question,
    points: list[Point],
    founds: list[Found],
    others: list[Group],
    comparison: Comparison | None,
) -> list[dict]:
    """A row per group with its value or its points, and what they are compared with."""
    by_group: dict[Group, list[Found]] = {}
    for found in founds:
        by_group.setdefault(found.group, []).append(found)
    groups = listed_groups(question, founds, others)
    points_by_group = {group: _points_of_group(question, points, group) for group in groups}
    if question.shape != "total" and sum(map(len, points_by_group.values())) > MAX_POINTS:
        raise QuestionError("too_many_points", "the answer has too many points")
    rows = []
    for group in groups:
        row = _row(question, group)
        mine = points_by_group[group]
        values = [within(question.kpi, by_group.get(group, []), point.parts) for point in mine]
        row.update(_spelled(question, "value", mine, values))
        if comparison is not None:
            earlier = [comparison.value(group, point.parts) for point in mine]
            row.update(_spelled(question, question.compare, mine, earlier))
        rows.append(row)
    return rows


def _spelled(
    question: Question, name: str, points: list[Point], values: list[Number | None]
) -> dict:
    """A row's values under their name: one for a total, with their instants for a series."""
    if question.shape == "total":
        return {name: values[0]}
    if name == "value":
        name = "points"
    pairs = []
    for point, value in zip(points, values, strict=True):
        assert point.at is not None
        pairs.append([f"{point.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", value])
    return {name: pairs}


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
        dates[tenant] = [day.key for day in buckets("day", clocks[tenant], span)]
    rows = []
    for weekday in range(1, 8):
        mine = {
            tenant: [day for day in every if day.isoweekday() == weekday]
            for tenant, every in dates.items()
        }
        for hour in range(24):
            averages: list[Number | None] = []
            for tenant, days in mine.items():
                if days:
                    there = [cells[tenant, d, hour] for d in days if (tenant, d, hour) in cells]
                    averages.append(Fraction(sum(t.result() or 0 for t in there), len(days)))
            value = plain(summed(averages))
            rows.append({"weekday": str(weekday), "hour": str(hour), "value": value})
    return rows
