"""What a question found, added up.

In: hits, each with its tenant and group. Out: the KPI of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .kpis import Kpi
from .ranges import Span
from .sources import Hit
from .values import Number, summed, together

Group = tuple[str, ...]


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


def within(kpi: Kpi, founds: list[Found], parts: dict[str, Span]) -> Number | None:
    """The KPI of what was found in each tenant's part."""
    adding = Tally(kpi)
    for found in founds:
        part = parts.get(found.tenant)
        if part is not None and part.holds(found.hit.at):
            adding.add(found)
    return adding.result()
