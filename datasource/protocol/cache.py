"""Answers kept by each process: for a question as understood, whoever spelled it however."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable

from psycopg.types.json import Jsonb

from datasource.protocol.database import Connection, fetch
from datasource.protocol.question import Fields

# JSON texts, the members of a list; and headers.
Answer = tuple[list[str], dict[str, str]]


class Cache:
    """At most so many MiB of answers (0: none); what was not asked for longest goes first.

    An answer is found under the question that the database understood, the tenants that it may
    see, and the state of the data, so that it is never older than what the database would say.
    """

    def __init__(self, mebibytes: float) -> None:
        self._room = int(mebibytes * (1 << 20))
        self._kept: OrderedDict[tuple[str, str], tuple[Answer, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.counts = {"hits_total": 0, "misses_total": 0, "bytes": 0}

    def answer(
        self, connection: Connection, kind: str, asked: Fields, make: Callable[[], Answer]
    ) -> Answer:
        """Return the kept answer of a kind to a question, else a new one."""
        if not self._room:
            return make()
        [(understood,)] = fetch(connection, "SELECT kpi_http.understood(%s)", Jsonb(asked))
        if understood is None:  # it changes by itself
            return make()
        with self._lock:
            if found := self._kept.get((kind, understood)):
                self._kept.move_to_end((kind, understood))
            self.counts["hits_total" if found else "misses_total"] += 1
        return found[0] if found else self._keep((kind, understood), make())

    def _keep(self, key: tuple[str, str], answer: Answer) -> Answer:
        size = sum(map(len, key)) + sum(len(text) + 60 for text in answer[0]) + 500
        with self._lock:
            if size <= self._room // 8 and key not in self._kept:
                self._kept[key] = answer, size
                self.counts["bytes"] += size
            while self.counts["bytes"] > self._room:
                self.counts["bytes"] -= self._kept.popitem(last=False)[1][1]
        return answer


def of_environment() -> Cache:
    """Return the cache that CHATKPI_CACHE (MiB a process) gives room to."""
    return Cache(float(os.environ.get("CHATKPI_CACHE") or 32))


OFF = Cache(0)
