"""The answers that each process keeps, by their normalised questions (least recently used out)."""

import threading
from collections import OrderedDict
from typing import NamedTuple


class Answer(NamedTuple):
    """The members of a JSON list, commas between; the range used, as RFC 3339 (lists: none)."""

    starts: str | None
    ends: str | None
    body: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say which range it uses."""
        if self.starts is None or self.ends is None:
            return {}
        return {"X-Range-From": self.starts, "X-Range-To": self.ends}


class Cache:
    """At most so many MiB of answers (0: none); what was not asked for longest goes first.

    An answer is found under its kind and what kpi_http.keys makes of its question: what the
    database understood, the tenants that it may see, and the state of the data, so that it is
    never older than what the database would say.
    """

    def __init__(self, mebibytes: float) -> None:
        self.room = int(mebibytes * (1 << 20))
        self._kept: OrderedDict[tuple[str, str], tuple[Answer, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.counts = {"hits_total": 0, "misses_total": 0, "bytes": 0}

    def find(self, kind: str, understood: str | None) -> Answer | None:
        """Return the kept answer of a kind to a question; None for one that is not to be kept."""
        if understood is None:
            return None
        with self._lock:
            if found := self._kept.get((kind, understood)):
                self._kept.move_to_end((kind, understood))
            self.counts["hits_total" if found else "misses_total"] += 1
        return found[0] if found else None

    def keep(self, kind: str, understood: str | None, answer: Answer) -> None:
        """Keep the answer of a kind to a question, unless it is too large."""
        if understood is None:
            return
        key = kind, understood
        size = len(understood) + len(answer.body) + 600
        with self._lock:
            if size <= self.room // 8 and key not in self._kept:
                self._kept[key] = answer, size
                self.counts["bytes"] += size
            while self.counts["bytes"] > self.room:
                self.counts["bytes"] -= self._kept.popitem(last=False)[1][1]


OFF = Cache(0)
