"""What a value is compared with: the range before it, or what is usual.

In: what a question finds in the ranges that its own was moved back to. Out: per group and part
of the range the previous or the usual value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

from .clock import Clock
from .kpis import Kpi
from .ranges import Shift, Span, moved_part, moved_span
from .tally import Found, Group, plain, within
from .values import Number, summed

#: Finds the hits of a question in other ranges than its own.
Finder = Callable[[dict[str, Span]], list[Found]]


class Earlier:
    """The KPI over ranges that were moved back, each tenant's by a move of its own.

    It is what `compare: previous` gives, and each week of `compare: usual`.
    """

    def __init__(
        self,
        kpi: Kpi,
        clocks: dict[str, Clock],
        spans: dict[str, Span],
        shifts: dict[str, Shift],
        find: Finder,
    ) -> None:
        self.kpi = kpi
        self.clocks = clocks
        self.spans = spans
        self.shifts = shifts
        self.founds: dict[Group, list[Found]] = {}
        ranges = {
            name: moved_span(spans[name], shift, clocks[name]) for name, shift in shifts.items()
        }
        for found in find(ranges):
            self.founds.setdefault(found.group, []).append(found)

    def value(self, group: Group, parts: dict[str, Span]) -> Number | None:
        """The KPI of a group over the parts moved back, null when moving left nothing of them."""
        there: dict[str, Span] = {}
        for name, part in parts.items():
            whole = self.spans[name]
            back = moved_part(part, whole, self.shifts[name], self.clocks[name])
            if part.empty or not back.empty:
                there[name] = back
        if parts and not there:
            return None
        return within(self.kpi, self.founds.get(group, []), there)


class Usual:
    """What `compare: usual` gives: the mean of several weeks, each with the tenants known then."""

    def __init__(self, kpi: Kpi, weeks: list[Earlier]) -> None:
        self.kpi = kpi
        self.weeks = weeks

    def value(self, group: Group, parts: dict[str, Span]) -> Number | None:
        """The usual value of a group over the parts.

        Each tenant's own mean is added up; shares are not added, so a ratio is made of all
        tenants' sums in each week.
        """
        if self.kpi.how == "ratio":
            return self._mean(group, parts)
        return plain(summed(self._mean(group, {name: part}) for name, part in parts.items()))

    def _mean(self, group: Group, parts: dict[str, Span]) -> Number | None:
        """The mean over the weeks that have a value, null when fewer than two have one."""
        values = []
        for week in self.weeks:
            known = {name: part for name, part in parts.items() if name in week.shifts}
            if known:
                values.append(week.value(group, known))
        return mean(values)


Comparison = Earlier | Usual


def mean(values: Iterable[Number | None]) -> Number | None:
    """The mean of the values that are there, None of fewer than two."""
    there = [value for value in values if value is not None]
    return plain(Fraction(sum(there)) / len(there)) if len(there) >= 2 else None
