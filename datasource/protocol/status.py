"""What programs ask to know how the server is: liveness, readiness, figures, its description."""

import os
import threading
import time
from collections.abc import Iterable

import psycopg
from flask import Flask, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from datasource import __version__
from datasource.protocol import openapi
from datasource.protocol.cache import Cache
from datasource.protocol.database import Database
from datasource.protocol.errors import RETRY, ApiError

# The columns of kpi_http.state, as gauges.
GAUGES = {
    "behind_seconds": "How far the numbers are behind the records.",
    "refreshed_timestamp_seconds": "When the numbers were refreshed last.",
    "newest_event_timestamp_seconds": "When the newest event happened that the numbers hold.",
    "future_events": "Events dated after now, which make nothing fresh.",
}

KEPT_SECONDS = 1.0


def register(app: Flask, database: Database, cache: Cache, max_behind: float) -> None:
    """Add the paths that need no token; numbers `max_behind` minutes old are not ready."""
    standing = Standing(database)
    registry = CollectorRegistry()
    registry.register(Figures(standing, cache))

    @app.get("/metrics", endpoint="prometheus")
    def prometheus() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    app.get("/health", endpoint="health")(lambda: jsonify(status="live"))
    described = app.json.dumps(openapi.document())  # once: strangers may ask for it often

    @app.get("/openapi.json", endpoint="openapi")
    def description() -> Response:
        return Response(described, mimetype="application/json")

    app.get("/ready", endpoint="ready")(lambda: _ready(standing, 60 * max_behind))


class Standing:
    """How the numbers stand, for anybody who asks: the database is asked at most once in a while.

    Nobody needs a token for it, so that many who ask must not cost others their answers.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._until = 0.0
        self._state: dict[str, float | None] = {}
        self._trouble: ApiError | psycopg.Error | None = None

    def read(self) -> dict[str, float | None]:
        """Return the columns of kpi_http.state by their names as GAUGES.

        Raises ApiError when the database cannot be asked, psycopg.Error when it fails.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                self._ask()
                self._until = time.monotonic() + KEPT_SECONDS
            if self._trouble:
                raise self._trouble.with_traceback(None)
            return self._state

    def _ask(self) -> None:
        try:
            [state] = self._database.fetch("SELECT * FROM kpi_http.state()")
        except (ApiError, psycopg.Error) as trouble:
            self._trouble = trouble
        else:
            self._state, self._trouble = dict(zip(GAUGES, state, strict=True)), None


class Figures(Collector):
    """The figures for Prometheus.

    Those of the database are the same from each process. Each has a cache of its own, and a scrape
    reaches any of them, so the cache's figures carry the process as the label `worker`.
    """

    def __init__(self, standing: Standing, cache: Cache) -> None:
        self._standing, self._cache = standing, cache

    def describe(self) -> Iterable[Metric]:
        """Return nothing: so a registry asks for no figures, and no database, when it is made."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Give each figure, as it is now."""
        try:
            state, is_up = self._standing.read(), True
        except (ApiError, psycopg.Error):
            state, is_up = {}, False
        info = GaugeMetricFamily("chatkpi_info", "The version that runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield GaugeMetricFamily("chatkpi_database_up", "Whether the database answers.", int(is_up))
        for name, value in state.items():
            if value is not None:
                yield GaugeMetricFamily(f"chatkpi_{name}", GAUGES[name], value)
        counts = self._cache.counts
        labels, worker = ["worker"], [str(os.getpid())]
        words = {"hits": "Answers that were kept.", "misses": "Answers that had to be made."}
        for name, sentence in words.items():
            counter = CounterMetricFamily(f"chatkpi_cache_{name}", sentence, labels=labels)
            counter.add_metric(worker, counts[f"{name}_total"])
            yield counter
        kept = GaugeMetricFamily("chatkpi_cache_bytes", "The kept answers.", labels=labels)
        kept.add_metric(worker, counts["bytes"])
        yield kept


def _ready(standing: Standing, max_behind: float) -> Response:
    state = standing.read()
    behind = state["behind_seconds"]
    if behind is None or state["refreshed_timestamp_seconds"] is None:
        raise ApiError(503, "not_ready", "Nothing has been refreshed yet.", headers=RETRY)
    if behind > max_behind:
        message = f"The numbers are {behind / 60:.0f} minutes behind."
        raise ApiError(503, "behind", message, RETRY, hint="Run `chatkpi refresh`.")
    return jsonify(status="ready", behind_seconds=behind)
