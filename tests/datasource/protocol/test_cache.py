"""Kept answers: for the same question however it is spelled, and never for another."""

from pathlib import Path
from typing import Any

import pytest

from datasource.catalog import Catalog
from datasource.protocol.app import create_app
from datasource.protocol.cache import Answer, Cache
from datasource.store.refresh import refresh
from tests.agreement import load_records
from tests.conftest import Databases
from tests.datasource.protocol.client import MARCH, Client, served
from tests.datasource.protocol.conftest import AT, RECORDS

ASKED = {"kpi": "messages", "filters": {"channel": ["c", "q"]}, "by": ["device"], **MARCH}
# The same question.
SPELLED: list[dict[str, Any]] = [
    {"filters": {"channel": "(c|q)"}},
    {"filters": {"channel": '["q","c"]'}},
    {"filters": {"channel": "{c,q}"}},
    {"filters": [{"key": "channel", "operator": "=|", "values": ["q", "c"]}]},
    {"filters": None, "adhocFilters": [{"key": "channel", "operator": "=|", "values": ["c", "q"]}]},
    {"filters": {"channel": {"op": "=", "values": ["c", "q", "c"]}, "device": "*"}},
    {"from": 1772323200000, "to": "1775001600000"},
    {"from": "2026-03-01T01:00:00+01:00", "shape": "series", "interval": "auto"},
    {"by": ["device", "device"], "compare": None, "timezone": "browser"},
]
OTHER: list[dict[str, Any]] = [
    {"filters": {"channel": "c"}},
    {"by": []},
    {"kpi": "user_messages"},
    {"shape": "total"},
    {"compare": "previous"},
    {"interval": "week"},
    {"to": "2026-04-02T00:00:00Z"},
    {"timezone": "utc"},
    {"granularity": "day"},
    {"filters": {"channel": {"op": "!=", "values": ["c", "q"]}}},
    {"filters": {"channel": ["c", "q"], "tenant": "a"}},
    {"kpi": None, "kpis": ["messages"], "shape": "total"},
    {"list": "channels", "filters": {}},
]


def hits(client: Client) -> int:
    count: int = client.http.application.extensions["cache"].counts["hits_total"]
    return count


@pytest.fixture
def fresh(database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    return served(database, RECORDS, tmp_path, monkeypatch)


def test_spellings(fresh: Client) -> None:
    answer = fresh.rows(ASKED)
    for number, change in enumerate(SPELLED):
        assert fresh.rows({**ASKED, **change}) == answer
        assert hits(fresh) == number + 1, change
    for change in OTHER:
        fresh.rows({**ASKED, **change})
        assert hits(fresh) == len(SPELLED), change
    for change in OTHER:
        fresh.rows({**ASKED, **change})
    assert hits(fresh) == len(SPELLED) + len(OTHER)
    metrics = fresh.get("/metrics", headers={}).text
    assert (
        "chatkpi_cache_hits_total{worker=" in metrics and "chatkpi_cache_misses_total{" in metrics
    )


def test_queries(fresh: Client) -> None:
    body = {
        "range": MARCH,
        "targets": [{"target": "messages", "refId": "A"}, {"target": "nps", "refId": "B"}],
    }
    first = fresh.post("/query", body)
    around = {"requestId": "Q2", "startTime": 1, "intervalMs": 30000, "maxDataPoints": 1200}
    again = fresh.post("/query", {**body, **around, "targets": body["targets"][::-1]})
    assert hits(fresh) == 2 and again.json == first.json[::-1]
    assert again.headers["X-Range-To"] == first.headers["X-Range-To"]
    renamed = {**body, "targets": [{"target": "messages", "refId": "C"}]}
    assert fresh.post("/query", renamed).json[0]["refId"] == "C" and hits(fresh) == 2


def test_one_target_changes_nothing_for_the_next(fresh: Client) -> None:
    """A token for all tenants may name one that is not there, which has a clock of its own: UTC."""
    of_nobody = {"target": "messages", "payload": {"filters": {"tenant": "nobody"}}}
    of_one = {"tenant": {"op": "!=", "values": ["b"]}}
    asked = {"target": "messages", "payload": {"interval": "day", "filters": of_one}}
    body = {"range": MARCH, "targets": [of_nobody, asked]}
    together = fresh.post("/query", body).json[1]
    kept = fresh.post("/query", {**body, "targets": [asked]}).json[0]
    fresh.http.application.extensions["cache"]._kept.clear()
    alone = fresh.post("/query", {**body, "targets": [asked]}).json[0]
    assert alone["datapoints"] and together == alone == kept


def test_tenants_never_share(fresh: Client) -> None:
    total = {"kpi": "messages", "shape": "total", **MARCH}
    a, b, both, later = (fresh.token(one) for one in (["a"], ["b"], ["a", "b"], ["b", "a", "new"]))
    values = [
        fresh.rows(total, headers=one)[0]["value"] for one in (a, b, both, later, fresh.headers)
    ]
    assert values == [5, 2, 7, 7, 7] and hits(fresh) == 0
    assert fresh.rows(total, headers=fresh.token(["b", "a"]))[0]["value"] == 7 and hits(fresh) == 1
    of_a = {**total, "filters": {"tenant": "a"}}
    assert fresh.rows(of_a, headers=a) == fresh.rows(of_a)
    assert fresh.post("/rows", of_a, headers=b).status_code == 403


def test_loads_and_refreshes_end_an_answer(fresh: Client, tmp_path: Path) -> None:
    named = {
        "kpi": "messages",
        "shape": "total",
        "by": ["channel"],
        "filters": {"channel": "c"},
        **MARCH,
    }
    assert (
        fresh.rows(named)
        == fresh.rows(named)
        == [{"channel": "c", "channel_name": "Web", "value": 4}]
    )
    more = [
        {"type": "channel", "tenant": "a", "id": "c", "name": "Site"},
        {
            "type": "message",
            "from": "user",
            "tenant": "a",
            "id": "more",
            "at": AT,
            "conversation": "n",
            "channel": "c",
        },
    ]
    load_records(fresh.connection, more, tmp_path)
    assert fresh.rows(named) == [{"channel": "c", "channel_name": "Site", "value": 4}]
    refresh(fresh.connection, Catalog.read())
    assert fresh.rows(named) == [{"channel": "c", "channel_name": "Site", "value": 5}]


def test_now_ends_an_answer(fresh: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open range is cut at the end of the hour of now."""
    open_end = {
        "kpi": "messages",
        "from": "2027-05-31T00:00:00Z",
        "to": "2027-06-02T00:00:00Z",
        "filters": {"tenant": "b"},
    }
    kept = fresh.http.application.extensions["cache"]
    for minute, range_end in (("00:14", "01:00"), ("00:59", "01:00"), ("01:01", "02:00")):
        monkeypatch.setenv("CHATKPI_NOW", f"2027-06-01T{minute}:00Z")
        later = create_app(fresh.url)
        later.extensions["cache"]._kept = kept._kept  # as if this process had gone on
        answer = later.test_client().post("/rows", json=open_end, headers=fresh.headers)
        assert answer.headers["X-Range-To"] == f"2027-06-01T{range_end}:00Z"
    past = {**open_end, "to": "2027-05-29T00:00:00Z", "from": "2027-05-01T00:00:00Z"}
    for minute in ("00:14", "23:59"):
        monkeypatch.setenv("CHATKPI_NOW", f"2027-06-01T{minute}:00Z")
        later = create_app(fresh.url)
        later.extensions["cache"]._kept = kept._kept
        later.test_client().post("/rows", json=past, headers=fresh.headers)
    assert later.extensions["cache"].counts["hits_total"] == 1


def test_what_changes_by_itself_is_not_kept(fresh: Client) -> None:
    for name in ("range", "freshness"):
        assert fresh.rows({"list": name}) and fresh.rows({"list": name})
    assert hits(fresh) == 0


def test_off(fresh: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATKPI_CACHE", "0")
    app = create_app(fresh.url)
    for _ in range(2):
        assert app.test_client().post("/rows", json=ASKED, headers=fresh.headers).status_code == 200
    assert app.extensions["cache"].counts == {"hits_total": 0, "misses_total": 0, "bytes": 0}


def test_it_is_bounded(fresh: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Cache(0.1)
    for number in range(1000):
        small.keep("rows", str(number), Answer(None, None, "x" * 1000))
    assert 50_000 < small.counts["bytes"] <= 104_857 and ("rows", "999") in small._kept
    assert small.counts["bytes"] == sum(size for _, size in small._kept.values())
    small.keep("rows", "large", Answer(None, None, "x" * 100_000))
    assert ("rows", "large") not in small._kept


def test_a_name_makes_no_answer_large(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands beside each point of a tenant, for everybody who sees that tenant."""
    longest = "n" * 900_000
    named = [{"type": "tenant", "id": "a", "name": longest}]
    named += [{"type": "channel", "tenant": "a", "id": "c", "name": longest}]
    client = served(database, RECORDS + named, tmp_path, monkeypatch)
    for asked in ({"by": ["tenant", "channel"]}, {"list": "channels", "kpi": None}):
        answer = client.rows({"kpi": "messages", **MARCH, **asked})
        assert "n" * 1000 in str(answer) and len(str(answer)) < 200_000
    assert len(client.get("/", headers=client.token(None) | {"Accept": "text/html"}).text) < 500_000
