"""The dashboards as Grafana would have them: variables filled in, jq programs run."""

import json
from collections.abc import Mapping
from typing import Any

import jq

from datasource.catalog import Catalog
from datasource.grafana import build
from datasource.grafana.opened import Value, filled, in_text, panels
from tests.datasource.protocol.client import Client

Json = dict[str, Any]

CATALOG = Catalog.read()
FILES = build(CATALOG)
BOARDS: dict[str, Json] = {
    path: json.loads(text) for path, text in FILES.items() if path.endswith(".json")
}
BY_UID = {board["uid"]: board for board in BOARDS.values()}
ALL = '["*"]'
MONTH = {"from": "1801267200000", "to": "1803859200000"}
MONTHS = {"from": "1769904000000", "to": "1803859200000"}
PROXY = "/api/datasources/proxy/uid/${datasource}"


def shown(board: Json) -> list[Json]:
    """Return the panels that are no headings."""
    return [panel for panel in panels(board) if panel["type"] != "row"]


def panel_targets(board: Json) -> list[Json]:
    """Return the questions of a dashboard's panels."""
    found = [target for panel in panels(board) for target in panel.get("targets", [])]
    return [target for target in found if target.get("source") == "url"]


def queries(board: Json) -> dict[str, Json]:
    """Return the questions of a dashboard's variables, by their names."""
    found = [one for one in board["templating"]["list"] if one["type"] == "query"]
    return {one["name"]: one["query"]["infinityQuery"] for one in found}


def targets(board: Json) -> list[Json]:
    """Return every question of a dashboard: of panels, variables and annotations."""
    annotations = [one["target"] for one in board["annotations"]["list"]]
    return [*panel_targets(board), *queries(board).values(), *annotations]


def brought(board: Json) -> set[str]:
    """Return the variables that narrow nothing unless a link brings their values."""
    found = board["templating"]["list"]
    return {one["name"] for one in found if one.get("hide") and one.get("allValue")}


def defaults(board: Json, tenant: str = "vondelmarkt") -> dict[str, Value]:
    """Return what variables hold at first, but those that the server answers; and the range."""
    span = MONTHS if "potential" in board["tags"] else MONTH
    values: dict[str, Value] = {
        "tenant": tenant,
        "__timeFrom": span["from"],
        "__timeTo": span["to"],
        "__timezone": "Europe/Amsterdam",
        "__from": span["from"],
        "__to": span["to"],
        "first": "1700000000000",
    }
    for one in board["templating"]["list"]:
        if one.get("allValue"):
            values[one["name"]] = one["allValue"]
        elif one["type"] in ("custom", "textbox"):
            values[one["name"]] = one["current"]["value"]
        elif one.get("includeAll"):
            values[one["name"]] = []
    return values


def body(target: Json, values: Mapping[str, Value]) -> Json:
    """Return a question as Grafana sends it."""
    found = json.loads(filled(target["url_options"]["data"], values))
    assert isinstance(found, dict)
    return found


def single(asked: Json) -> list[Json]:
    """Return the questions that a request asks: itself, or those that it asks together."""
    if "targets" not in asked:
        return [asked]
    around = asked["range"] | {"timezone": asked["timezone"]}
    return [{"kpi": one["target"], **one["payload"], **around} for one in asked["targets"]]


def kpis_shown(panel: Json) -> set[str]:
    """Return the KPIs that a panel shows by name: of its questions, or what it takes of an answer."""
    for step in panel.get("transformations", []):
        if names := step["options"].get("include", {}).get("names"):
            return CATALOG.kpis.keys() & {*names}
    own = panel_targets({"panels": [panel]})
    asked = [json.loads(in_text.sub("0", target["url_options"]["data"])) for target in own]
    questions = [one for request in asked for one in single(request)]
    named = [kpi for one in questions for kpi in one.get("kpis") or [one.get("kpi")]]
    return CATALOG.kpis.keys() & {*named}


def rows(server: Client, target: Json, values: Mapping[str, Value]) -> list[Json]:
    """Return the rows of a frame: the server's answer, as the target's jq program turns it."""
    answer = server.post(target["url"], body(target, values))
    assert answer.status_code == 200, (target["url_options"]["data"], answer.text)
    found = answer.json
    if program := target["root_selector"]:
        [found] = jq.compile(filled(program, values)).input_value(found).all()
    assert isinstance(found, list)
    return found


def values_of(server: Client, board: Json, tenant: str = "vondelmarkt") -> dict[str, Value]:
    """Return what the variables of a dashboard hold when it is opened."""
    values = defaults(board, tenant)
    multiple = {one["name"] for one in board["templating"]["list"] if one.get("multi")}
    for name, target in queries(board).items():
        if name in ("tenant", "first") or (name in values and name != "shown"):
            continue
        options = [row["__value"] for row in rows(server, target, values)]
        assert options, f"the variable {name} has no values"
        values[name] = options if name in multiple else options[0]
    return values
