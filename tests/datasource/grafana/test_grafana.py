"""A running Grafana shows in every panel what the server answers: `pytest -m grafana`.

CHATKPI_GRAFANA is its address, with a login (http://admin:admin@127.0.0.1:3000); its data source
`chatkpi` reaches a server with the demo data, and its dashboards are provisioned.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

import jq
import pytest
from grafana_client.api import GrafanaApi

from tests.agreement import same
from tests.datasource.grafana.boards import (
    BOARDS,
    Json,
    Value,
    body,
    defaults,
    filled,
    queries,
    shown,
)

pytestmark = pytest.mark.grafana
DAY = 86_400_000


@pytest.fixture(scope="module")
def grafana() -> GrafanaApi:
    """Return a client of the Grafana that the environment names."""
    if not (url := os.environ.get("CHATKPI_GRAFANA")):
        pytest.skip("CHATKPI_GRAFANA names no Grafana")
    return GrafanaApi.from_url(url, timeout=60)


def deep(value: Any, values: dict[str, Value]) -> Any:
    """Return a target with the variables filled in, as Grafana's front end does it."""
    if isinstance(value, str):
        return filled(value, values)
    if isinstance(value, dict):
        return {name: deep(one, values) for name, one in value.items()}
    return [deep(one, values) for one in value] if isinstance(value, list) else value


def asked(grafana: GrafanaApi, target: Json, values: dict[str, Value]) -> list[list[Any]]:
    """Return the columns of the frame that Grafana's back end makes, by the target's order."""
    left = {name: value for name, value in values.items() if not name.startswith("__time")}
    query = deep(target, left)
    span = {"from": values["__timeFrom"], "to": values["__timeTo"]}
    answer = grafana.client.POST("/ds/query", json={"queries": [query], **span})
    [result] = answer["results"].values()
    assert not result.get("error"), (target["url_options"]["data"], result)
    frame = result["frames"][0]
    columns = frame["data"].get("values") or []
    fields = [field["name"] for field in frame["schema"]["fields"]]
    found = dict(zip(fields, columns, strict=False))
    return [found.get(column["text"], []) for column in target["columns"]]


def answered(grafana: GrafanaApi, target: Json, values: dict[str, Value]) -> list[list[Any]]:
    """Return the same columns of the server's own answer, which Grafana only passes on."""
    path = f"/datasources/proxy/uid/chatkpi{target['url']}"
    rows = grafana.client.POST(path, json=body(target, values))
    if program := target["root_selector"]:
        rows = jq.compile(filled(program, values)).input_value(rows).first()
    return [
        [typed(row.get(column["selector"]), column["type"]) for row in rows]
        for column in target["columns"]
    ]


def typed(value: Any, kind: str) -> Any:
    """Return a value as a column of this type has it."""
    return float(value) if kind == "number" and isinstance(value, str) else value


def opened(grafana: GrafanaApi, board: Json) -> dict[str, Value]:
    """Return what the variables of a dashboard hold when it is opened."""
    now = int(time.time() * 1000)
    days = 365 if "potential" in board["tags"] else 30
    values = defaults(board) | {"__timeFrom": str(now - days * DAY), "__timeTo": str(now)}
    values["datasource"] = "chatkpi"
    for name, target in queries(board).items():
        if name in values and name != "shown":
            continue
        names = [column["text"] for column in target["columns"]]
        options = asked(grafana, target, values)[names.index("__value")]
        values[name] = options if name in ("shown", "experience") else options[0]
    return values


def questions(board: Json, values: dict[str, Value]) -> Iterator[tuple[Json, dict[str, Value]]]:
    """Give each question of the panels, once for each value that its panel is repeated for."""
    for panel in shown(board):
        repeated = panel.get("repeat")
        chosen = values[repeated] if repeated else [""]
        for one in [chosen] if isinstance(chosen, str) else chosen:
            for target in panel["targets"]:
                if target.get("source") == "url":
                    yield target, values | ({repeated: one} if repeated else {})


@pytest.mark.parametrize("path", BOARDS)
def test_panels_show_what_the_server_answers(grafana: GrafanaApi, path: str) -> None:
    board = BOARDS[path]
    assert grafana.client.GET(f"/dashboards/uid/{board['uid']}")["meta"]["provisioned"]
    for target, values in questions(board, opened(grafana, board)):
        kinds = [column["type"] for column in target["columns"]]
        if target["format"] == "timeseries" and "string" in kinds:
            continue  # Grafana makes a field of each group of it
        got, wanted = asked(grafana, target, values), answered(grafana, target, values)
        if any(wanted):
            assert same(got, wanted), target["url_options"]["data"]


def test_every_variable_has_values(grafana: GrafanaApi) -> None:
    for board in BOARDS.values():
        assert all(opened(grafana, board).values()), board["uid"]
