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
from .facts import Facts
from .fold import Found
from .kpis import KPIS, Kpi
from .question import Question, read_question
from .ranges import Span, buckets, previous_span, used_span
from .sources import Hit
from .values import Benchmark, potential
from .world import Tenant, read_world


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
        asked = read_question(question, self.world)
        clocks, spans = self._clocks(asked), self._spans(asked)
        founds = self._found(asked, spans)
        if asked.shape == "distribution":
            return fold.distribution(asked, clocks, spans, founds)
        spans_before: dict[str, Span] = {}
        before = None
        if asked.compare:
            for tenant, span in spans.items():
                spans_before[tenant] = previous_span(asked.grain, clocks[tenant], span)
            before = self._found(asked, spans_before)
        if asked.shape == "total":
            return fold.total(asked, founds, before)
        return fold.series(asked, clocks, spans, founds, spans_before, before)

    def range(self, question: dict) -> tuple[datetime, datetime]:
        """The range that an answer uses: the earliest start and the latest end, in UTC."""
        asked = read_question(question, self.world)
        spans = self._spans(asked).values()
        if not spans:
            return asked.end, asked.end
        return min(span.start for span in spans), max(span.end for span in spans)

    def hits(self, question: dict) -> list[tuple[str, Hit]]:
        """The tenant and hit of everything that a total counts, by instant, then id.

        Of a ratio it is its base; a KPI that has values has none.
        """
        asked = read_question({**question, "shape": "total"}, self.world)
        if asked.kpi.how == "value":
            return []
        founds = self._found(asked, self._spans(asked))
        wanted = [f for f in founds if f.base == (asked.kpi.how == "ratio")]
        wanted.sort(key=lambda found: (found.hit.at, found.hit.id, found.tenant))
        return [(found.tenant, found.hit) for found in wanted]

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
