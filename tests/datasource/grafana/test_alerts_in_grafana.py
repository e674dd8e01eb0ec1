"""A running Grafana fires each alert on data made for it, and ends it: `pytest -m grafana`.

CHATKPI_GRAFANA is its address with a login that may make data sources and rules; they are gone
again when the test is over. Grafana has to reach 127.0.0.1 of this machine.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_client.api import GrafanaApi

from datasource.catalog import Catalog
from datasource.grafana import alerts, build
from datasource.protocol import tokens
from datasource.store.refresh import refresh
from tests.agreement import installed
from tests.conftest import Databases
from tests.datasource.grafana import alarms
from tests.datasource.grafana.alarms import EXPECTED, NOW, Json
from tests.datasource.protocol.server import serving

pytestmark = pytest.mark.grafana
SOURCE, FOLDER, GROUP = "chatkpi-alert-test", "chatkpi-alert-test", "test"
FILE = yaml.safe_load(build(Catalog.read())[alerts.RULES])
RULES: list[Json] = [rule for group in FILE["groups"] for rule in group["rules"]]
PATIENCE = 120  # seconds for what takes a few evaluations, each after ten


@pytest.fixture(scope="module")
def grafana() -> GrafanaApi:
    """Return a client of the Grafana that the environment names."""
    if not (url := os.environ.get("CHATKPI_GRAFANA")):
        pytest.skip("CHATKPI_GRAFANA names no Grafana")
    return GrafanaApi.from_url(url, timeout=60)


def rerouted(rule: Json, uid: str) -> Json:
    """Return a rule as the API takes it: on the test's data source, at once, telling nobody."""
    queries = [
        query | {"datasourceUid": SOURCE, "model": query["model"] | {"datasource": {"uid": SOURCE}}}
        if query["datasourceUid"] == "chatkpi"
        else query
        for query in rule["data"]
    ]
    left = {key: rule[key] for key in ("title", "condition", "noDataState", "execErrState")}
    notes = {key: rule[key] for key in ("annotations", "labels")}
    return {"uid": uid, "data": queries, "for": "0s", "orgID": 1, **left, **notes} | {
        "folderUID": FOLDER,
        "ruleGroup": GROUP,
    }


def states(grafana: GrafanaApi) -> dict[str, dict[str, Json]]:
    """Return the alerts of each of the test's rules, by tenant, that are not normal."""
    answer = grafana.client.GET("/prometheus/grafana/api/v1/rules")
    [rules] = [one["rules"] for one in answer["data"]["groups"] if one["name"] == GROUP]
    assert all(rule["health"] in ("ok", "nodata", "unknown") for rule in rules), rules
    return {
        rule["name"]: {
            alert["labels"].get("tenant", ""): alert
            for alert in rule.get("alerts") or []
            if not alert["state"].startswith("Normal")
        }
        for rule in rules
    }


def wait_for(grafana: GrafanaApi, wanted: Callable[[str], set[str]]) -> dict[str, dict[str, Json]]:
    """Return the alerts as soon as each rule has those that are wanted; fail when it takes long."""
    until = time.monotonic() + PATIENCE
    while True:
        found = states(grafana)
        if all(set(found[rule["title"]]) == wanted(rule["title"]) for rule in RULES):
            return found
        assert time.monotonic() < until, {title: set(of) for title, of in found.items()}
        time.sleep(2)


@pytest.fixture
def connection(
    grafana: GrafanaApi, database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Serve the records of the beginning, and have Grafana evaluate every rule on them."""
    url, connection = installed(database, alarms.first(), tmp_path, NOW.isoformat())
    alarms.held_back(connection, tmp_path, [{"type": "folder", "tenant": "bad", "id": "f"}])
    token = tokens.create(connection, "grafana", None)
    with serving(url, tmp_path / "log", CHATKPI_NOW=NOW.isoformat()) as server:
        address = f"http://127.0.0.1:{server.port}"
        source = {"name": SOURCE, "uid": SOURCE, "type": "yesoreyeram-infinity-datasource"}
        kept = {
            "jsonData": {"allowedHosts": [f"{address}/"], "httpHeaderName1": "Authorization"},
            "secureJsonData": {"httpHeaderValue1": f"Bearer {token}"},
        }
        client = grafana.client
        client.POST("/datasources", json={"access": "proxy", "url": address, **source, **kept})
        client.POST("/folders", json={"uid": FOLDER, "title": FOLDER})
        rules = [rerouted(rule, f"chatkpi-alert-test-{n}") for n, rule in enumerate(RULES)]
        group = {"title": GROUP, "folderUid": FOLDER, "interval": 10, "rules": rules}
        path = f"/v1/provisioning/folder/{FOLDER}/rule-groups/{GROUP}"
        try:
            client.PUT(path, json=group)
            yield connection
        finally:
            client.DELETE(f"/folders/{FOLDER}?forceDeleteRules=true")
            client.DELETE(f"/datasources/uid/{SOURCE}")


def test_every_rule_fires_and_ends(grafana: GrafanaApi, connection: Any, tmp_path: Path) -> None:
    titles = {alerts.alerts().rules[name].title.en: tenants for name, tenants in EXPECTED.items()}
    found = wait_for(grafana, lambda title: titles[title])
    for of_tenants in found.values():
        for tenant, alert in of_tenants.items():
            assert alert["state"].startswith("Alerting"), alert
            notes = alert["annotations"]
            assert tenant.title() in notes["summary"] and tenant.title() in notes["summary_nl"]
            assert not set("{}<") & set(notes["summary"] + notes["summary_nl"]), notes
            assert "could not" not in notes["summary"]
            assert notes["runbook_url"].startswith("http"), notes
    alarms.held_back(connection, tmp_path, alarms.later())
    refresh(connection, Catalog.read())
    alarms.age_loads(connection, 0)
    wait_for(grafana, lambda title: set())
