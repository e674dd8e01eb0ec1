"""`check --grafana` finds what is wrong with a Grafana, and says how to mend it."""

import json
import os
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import yaml
from grafana_client.client import GrafanaClientError

from datasource.catalog import Catalog
from datasource.cli import grafana_checks
from datasource.cli.grafana_checks import PLUGIN, findings
from datasource.grafana import alerts, build
from datasource.grafana.opened import asked, variables

Json = dict[str, Any]
FILES = build(Catalog.read())
BOARDS = {
    board["uid"]: board
    for path, text in FILES.items()
    if path.endswith(".json")
    for board in [json.loads(text)]
}
RULES = [rule for group in yaml.safe_load(FILES[alerts.RULES])["groups"] for rule in group["rules"]]
MISSING = GrafanaClientError(404, {"message": "not found"}, "not found")


class FakeGrafana:
    """Answers as a Grafana where all is well; `paths` and `failing` are changed by faults."""

    def __init__(self) -> None:
        self.paths: Json = {
            "/health": {"version": "12.3.0"},
            "/org": {},
            f"/plugins/{PLUGIN}/settings": {"info": {"version": "3.12.0"}},
            "/search?type=dash-db&tag=chatkpi&limit=5000": [{"uid": uid} for uid in BOARDS],
            "/v1/provisioning/alert-rules": deepcopy(RULES),
            **{f"/datasources/uid/{uid}/health": {"status": "OK"} for uid in SOURCES},
            **{
                f"/dashboards/uid/{uid}": {"dashboard": board | {"id": 7, "version": 3}}
                for uid, board in deepcopy(BOARDS).items()
            },
        }
        self.failing = ""  # a text in the queries that fail
        self.client = self

    def GET(self, path: str) -> Any:
        if path not in self.paths:
            raise MISSING
        if isinstance(self.paths[path], Exception):
            raise self.paths[path]
        return self.paths[path]

    def POST(self, path: str, json: Json) -> Json:
        assert path == "/ds/query" and {"from", "to"} <= json.keys()
        results: Json = {}
        for query in json["queries"]:
            field = {"name": "__value"}
            frame = {"schema": {"fields": [field]}, "data": {"values": [["one", "two"]]}}
            results[query["refId"]] = {"frames": [frame]}
            if self.failing and self.failing in str(query):
                results[query["refId"]] = {"error": "no such KPI"}
        return {"results": results}


SOURCES = ("chatkpi", "chatkpi-sql")
REFUSED = GrafanaClientError(401, {"message": "Invalid username or password"}, "x")
RULES_PATH = "/v1/provisioning/alert-rules"
PLUGIN_PATH = f"/plugins/{PLUGIN}/settings"
BOARD_PATH = "/dashboards/uid/chatkpi-en-start"
HEALTH = "/datasources/uid/chatkpi/health"
Fault = Callable[[FakeGrafana], object]
# What may be wrong with a Grafana; words of what check says, and of how to mend it.
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "away": (lambda g: g.paths.update({"/health": OSError("refused")}), "refused", "start it"),
    "login": (lambda g: g.paths.update({"/org": REFUSED}), "Invalid username", "user:password"),
    "old": (lambda g: g.paths.update({"/health": {"version": "11.6.1"}}), "is 11.6.1", "12 or"),
    "no plugin": (lambda g: g.paths.pop(PLUGIN_PATH), "is not installed", "cli plugins install"),
    "old plugin": (
        lambda g: g.paths.update({PLUGIN_PATH: {"info": {"version": "3.9.0"}}}),
        "is 3.9.0",
        "plugins install",
    ),
    "no source": (lambda g: g.paths.pop(HEALTH), "not found", "CHATKPI_URL"),
    "wrong token": (
        lambda g: g.paths.update({HEALTH: {"status": "ERROR", "message": "401 not valid"}}),
        "401 not valid",
        "chatkpi token create",
    ),
    "no dashboard": (lambda g: g.paths.pop(BOARD_PATH), "en-start is missing", "restart"),
    "changed dashboard": (
        lambda g: g.paths[BOARD_PATH]["dashboard"]["panels"].pop(),
        "chatkpi-en-start is not as made: panels",
        "dashboards_json of this version",
    ),
    "other dashboard": (
        lambda g: g.paths["/search?type=dash-db&tag=chatkpi&limit=5000"].append(
            {"uid": "chatkpi-en-old"}
        ),
        "chatkpi-en-old is of another version",
        "restart",
    ),
    "no rule": (lambda g: g.paths[RULES_PATH].pop(), "is missing", "provisioning"),
    "paused rule": (
        lambda g: g.paths[RULES_PATH][0].update(isPaused=True),
        "chatkpi-bounce-rate-high is paused",
        "restart",
    ),
    "changed rule": (
        lambda g: g.paths[RULES_PATH][0]["data"][-1]["model"].update(expression="1 > 0"),
        "another condition",
        "restart",
    ),
    "ghost": (
        lambda g: g.paths[RULES_PATH].append({"uid": "chatkpi-bounce-rate", "data": []}),
        "chatkpi-bounce-rate is of another version",
        "restart",
    ),
    "panel": (
        lambda g: setattr(g, "failing", "nps_scores"),
        "chatkpi-en-experience-overview, ",
        "log",
    ),
    "rule": (
        lambda g: setattr(g, "failing", "minutes_behind"),
        "chatkpi-refresh-failing: no such KPI",
        "log",
    ),
}


def wrong_in(grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a line for each thing that check finds wrong."""
    made = staticmethod(lambda *_, **__: grafana)
    monkeypatch.setattr(grafana_checks.GrafanaApi, "from_url", made)
    return [
        f"{one.name}: {'; '.join(one.wrong)}; {one.remedy}"
        for one in findings("http://grafana")
        if one.wrong
    ]


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong_in(FakeGrafana(), monkeypatch) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_remedy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grafana = FakeGrafana()
    fault, words, remedy = FAULTS[name]
    fault(grafana)
    [line] = wrong_in(grafana, monkeypatch)
    assert words in line and remedy in line and "\n" not in line


def test_every_query_of_a_dashboard_is_asked_filled_in() -> None:
    """With values in place of all variables but those that Grafana's back end knows."""
    for board in BOARDS.values():
        values = variables(board, lambda target: ["one", "two"])
        queries = list(asked(board, values))
        assert queries or "start" in board["uid"]
        for title, target in queries:
            left = target["url_options"]["data"] + target["root_selector"] + title
            for known in ("${__timeFrom}", "${__timeTo}"):
                left = left.replace(known, "")
            assert "${" not in left, (board["uid"], left)
            json.loads(target["url_options"]["data"])


@pytest.mark.grafana
def test_a_running_grafana_is_as_it_should_be() -> None:
    """CHATKPI_GRAFANA is its address with a login."""
    if not (url := os.environ.get("CHATKPI_GRAFANA")):
        pytest.skip("CHATKPI_GRAFANA names no Grafana")
    found = list(findings(url))
    assert len(found) > 5 and [one for one in found if one.wrong] == []
