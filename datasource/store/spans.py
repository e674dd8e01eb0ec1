"""Which months share a slice: as many as hold little data together, so that slices are few.

A KPI's slices are bounded by its data, not by its dates. Its two newest months up to now, which
most new records fall into, have a slice each. Older ones, and those that lie in the future, share
one while it holds at most LITTLE rows, or a share of what is newer: slices grow with age, so
that a late record's costs little if it is not very late, and there are about as many slices as
the logarithm of the number of rows says, whatever its dates.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import inf

LITTLE = 50_000
SHARE_OF_NEWER = 1 / 3


@dataclass(frozen=True)
class Span:
    """The local days [first, last) of a slice, whole months.

    rows: at most how many rows of facts it counts; due: it is to be built; changed: some of its
    rows are others than before; alone: it shares with no other.
    """

    first: date
    last: date
    rows: int = 0
    due: bool = False
    changed: bool = False
    alone: bool = False

    def joined(self, newer: "Span") -> "Span":
        """Return the two as one, to be built."""
        changed, alone = self.changed or newer.changed, self.alone or newer.alone
        return Span(self.first, newer.last, self.rows + newer.rows, True, changed, alone)


def next_month(month: date) -> date:
    """Return the first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def plan(
    rows: Mapping[date, int],
    standing: Sequence[Span],
    changed: Collection[date] | None,
    now: date,
    *,
    tidy: bool = False,
) -> list[Span]:
    """Return the spans whose slices are to be built: they replace all that they overlap.

    rows: how many rows of facts each month has; standing: what slices there are; changed: the
    months in which rows changed (None: all); now: a day of the current month; tidy: neighbours
    that have become small enough to share a slice are to do so, at whatever cost.
    """
    months = {month for month, count in rows.items() if count > 0} | set(changed or ())
    recent = sorted(month for month in months if month <= now)[-2:]
    stale = months if changed is None else set(changed)
    spans: list[Span] = []
    for span in sorted(standing, key=lambda span: span.first):
        inside = sorted(month for month in months if span.first <= month < span.last)
        if any(month in stale for month in inside):
            spans += _split(span, inside, rows)
        else:
            count = sum(rows.get(month, 0) for month in inside)
            spans.append(Span(span.first, span.last, count))
        months.difference_update(inside)
    spans += [
        Span(month, next_month(month), rows.get(month, 0), due=True, changed=True)
        for month in months & stale
    ]
    spans = [
        replace(span, alone=any(span.first <= month < span.last for month in recent))
        for span in spans
    ]
    return [span for span in _merged(spans, tidy) if span.due]


def _split(span: Span, months: Sequence[date], rows: Mapping[date, int]) -> list[Span]:
    """Take a span apart into its months with data, so that every day of it is in one of them."""
    ends = [*months[1:], span.last]
    starts = [span.first, *months[1:]]
    return [
        Span(start, end, rows.get(month, 0), due=True, changed=True)
        for start, end, month in zip(starts, ends, months, strict=True)
    ]


def _merged(spans: Iterable[Span], tidy: bool) -> list[Span]:
    """Join neighbours that are small enough, from the newest to the oldest.

    Slices that could have stayed are built again for that; unless it is time to tidy up, they do
    not have many more rows than what is to be built anyway.
    """
    oldest_first = sorted(spans, key=lambda span: span.first)
    budget = float(max(LITTLE, sum(span.rows for span in oldest_first if span.due)))
    budget = inf if tidy else budget
    newer_rows = 0
    merged: list[Span] = []
    while oldest_first:
        span = oldest_first.pop()
        if merged and not span.alone and not merged[-1].alone:
            newer = merged[-1]
            cost = sum(part.rows for part in (span, newer) if not part.due)
            limit = max(LITTLE, SHARE_OF_NEWER * (newer_rows - newer.rows))
            if span.rows + newer.rows <= limit and cost <= budget:
                budget -= cost
                merged[-1] = span.joined(newer)
                newer_rows += span.rows
                continue
        merged.append(span)
        newer_rows += span.rows
    return merged
