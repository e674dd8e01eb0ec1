"""The oracle: answers every KPI question from records, plainly and slowly.

In: records in load order and the instant that is now. Out: answers, the range that was
used, and the hits behind a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property

from . import fold
from .clock import Clock
from .comparison import Comparison, Earlier, Usual
from .facts import PARENTS, Facts, named
from .kpis import KPIS, Kpi
from .question import Question, QuestionError, read_question
from .ranges import (
    USUAL_DAYS,
    Shift,
    Span,
    buckets,
    is_within_days,
    previous_shift,
    used_span,
    usual_shifts,
)
from .sources import Hit
from .tally import Found, Group
from .values import Benchmark, potential
from .world import Tenant, read_world

#: A location is the parent of a department.
LOCATION = ("department", "department", "location")


class Oracle:
    """Answers questions about one world of records."""

    def __init__(self, records: Iterable[dict], now: datetime) -> None:
        self.now = now.astimezone(UTC)
        self.world = read_world(records)
        self._facts: dict[str, Facts] = {}
        self._hits: dict[tuple[str, str, bool], list[Hit]] = {}

    # What is asked

    def answer(self, question: dict) -> list[dict]:
        """The rows of an answer; raises QuestionError for a question that is refused."""
        asked = self._read(question)
        clocks, spans = self._clocks(asked), self._spans(asked)
        founds = self._found(asked, spans)
        if asked.shape == "distribution":
            return fold.distribution(asked, clocks, spans, founds)
        points = fold.points_of(asked, clocks, spans)
        others = self._all_groups(asked) if asked.all_groups else []
        return fold.answer(asked, points, founds, others, self._comparison(asked, clocks, spans))

    def range(self, question: dict) -> tuple[datetime, datetime]:
        """The range that an answer uses: the earliest start and the latest end, in UTC."""
        asked = self._read(question)
        spans = self._spans(asked).values()
        if not spans:
            end = asked.range.end or self.now
            return end, end
        return min(span.start for span in spans), max(span.end for span in spans)

    def hits(self, question: dict) -> list[tuple[str, Hit]]:
        """The tenant and hit of everything that a total counts, by instant, then id.

        Of a ratio it is its base; a KPI that has values has none.
        """
        asked = self._read({**question, "shape": "total"})
        if asked.kpi.how == "value":
            return []
        founds = self._found(asked, self._spans(asked))
        wanted = [f for f in founds if f.base == (asked.kpi.how == "ratio")]
        wanted.sort(key=lambda found: (found.hit.at, found.hit.id, found.tenant))
        return [(found.tenant, found.hit) for found in wanted]

    def known_times(self, names: Iterable[str]) -> tuple[datetime | None, datetime | None]:
        """The instants of some tenants' first event and of their newest that is not after now."""
        times = [event.at for name in names for event in self.tenant(name).events]
        past = [at for at in times if at <= self.now]
        return min(times, default=None), max(past, default=None)

    # What there is

    def tenant(self, name: str) -> Tenant:
        """A tenant of the world; one that no record names has the defaults."""
        return self.world.get(name) or Tenant(name)

    def facts(self, name: str) -> Facts:
        """The facts of a tenant, worked out once."""
        if name not in self._facts:
            self._facts[name] = Facts(self.tenant(name))
        return self._facts[name]

    @cached_property
    def _benchmark(self) -> Benchmark:
        # Every tenant counts here, whoever asks.
        return Benchmark(self.facts(name) for name in self.world)

    def kpi_hits(self, name: str, kpi: str, base: bool = False) -> list[Hit]:
        """All hits of a KPI in a tenant, ordered by instant, then id."""
        key = (name, kpi, base)
        if key not in self._hits:
            definition = KPIS[kpi]
            source = definition.base if base else definition.hits
            hits = source(self.facts(name), definition.dims) if source else []
            self._hits[key] = sorted(hits, key=lambda hit: (hit.at, hit.id))
        return self._hits[key]

    def _value_hits(self, name: str, kpi: Kpi, span: Span) -> list[Hit]:
        """A hit for each month of a range that has a value, its amount being the value."""
        tenant = self.tenant(name)
        found = []
        for month in buckets("month", tenant.clock, span):
            if kpi.id == "chats_benchmark":
                value = self._benchmark.value(tenant, month.key)
            else:
                value = potential(tenant, kpi.id, month.key)
            if value is not None:
                found.append(Hit(month.start, {}, value, None, "value", "", None, None))
        return found

    # From question to hits

    def _read(self, question: dict) -> Question:
        return read_question(question, self.world, lambda name: self.tenant(name).clock, self.now)

    def _clocks(self, asked: Question) -> dict[str, Clock]:
        return {name: self.tenant(name).clock for name in asked.tenants}

    def _spans(self, asked: Question) -> dict[str, Span]:
        clocks = self._clocks(asked)
        return {name: used_span(asked, clocks[name], self.now) for name in asked.tenants}

    def _found(self, asked: Question, spans: dict[str, Span]) -> list[Found]:
        """The hits of a question in each tenant's range that pass its filters."""
        founds = []
        for name, span in spans.items():
            if asked.kpi.how == "value":
                parts = [(False, self._value_hits(name, asked.kpi, span))]
            else:
                parts = [(base, self.kpi_hits(name, asked.kpi.id, base)) for base in (False, True)]
            for base, hits in parts:
                for hit in hits:
                    if not span.holds(hit.at):
                        continue
                    if all(test(hit.dims[dim]) for dim, test in asked.tests):
                        dims = {**hit.dims, "tenant": name}
                        group = tuple(dims[dim] for dim in asked.by)
                        founds.append(Found(name, group, hit, base))
        return founds

    # Comparisons

    def _comparison(
        self, asked: Question, clocks: dict[str, Clock], spans: dict[str, Span]
    ) -> Comparison | None:
        """What the values of an answer are compared with, None when they are not."""

        def earlier(shifts: dict[str, Shift]) -> Earlier:
            return Earlier(
                asked.kpi, clocks, spans, shifts, lambda ranges: self._found(asked, ranges)
            )

        if asked.compare == "previous":
            shifts = {
                name: previous_shift(asked, clocks[name], span, self.now)
                for name, span in spans.items()
            }
            return earlier(shifts)
        if asked.compare == "usual":
            if not all(is_within_days(span, clocks[name], 7) for name, span in spans.items()):
                raise QuestionError("no_usual", "usual is for ranges of at most seven days")
            by_tenant = {
                name: usual_shifts(clocks[name], span, self._first_event(name))
                for name, span in spans.items()
            }
            weeks = []
            for days in USUAL_DAYS:
                shift = Shift("day", days)
                known = {name: shift for name, shifts in by_tenant.items() if shift in shifts}
                weeks.append(earlier(known))
            return Usual(asked.kpi, weeks)
        return None

    def _first_event(self, name: str) -> datetime | None:
        """The instant of a tenant's first event, of whatever type."""
        events = self.tenant(name).events
        return events[0].at if events else None

    # Groups that may have nothing

    def _all_groups(self, asked: Question) -> list[Group]:
        """Every active entity of the dimension that is grouped by, in each tenant."""
        (dim,) = [dim for dim in asked.by if dim != "tenant"] or ["tenant"]
        groups = []
        for name in asked.tenants:
            if dim == "tenant":
                groups.append((name,))
                continue
            for entity, record in self.tenant(name).entities.get(dim, {}).items():
                dims = self._with_parents(name, dim, entity)
                if record.get("active") is not False and all(
                    test(dims[filtered]) for filtered, test in asked.tests if filtered in dims
                ):
                    groups.append(tuple(name if each == "tenant" else entity for each in asked.by))
        return groups

    def _with_parents(self, name: str, dim: str, entity: str) -> dict[str, str]:
        """An entity as a value of its dimension, with the dimensions that hang on it."""
        dims = {dim: entity}
        tenant = self.tenant(name)
        for parent, (child, kind, field) in {**PARENTS, "location": LOCATION}.items():
            if child == dim:
                dims[parent] = named(parent, tenant.parent(kind, entity, field))
        return dims
