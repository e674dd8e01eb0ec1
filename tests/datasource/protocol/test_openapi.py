"""The document of the paths, and requests made from it: no 5xx, always the one shape."""

import os
from copy import deepcopy
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode

from datasource.catalog import LISTS
from datasource.protocol.app import create_app
from datasource.protocol.fields import FIELDS
from datasource.protocol.openapi import ERROR, document
from tests.datasource.protocol.client import Client
from tests.datasource.protocol.test_injection import reached

CASES = int(os.environ.get("CHATKPI_FUZZ", "150"))
MODES = {"positive": GenerationMode.POSITIVE, "negative": GenerationMode.NEGATIVE}
# What occurs in the small world, so that requests get past the first check.
OCCURRING = {
    "kpi": ["messages", "nps", "participants", "mecs", "visitors_potential", "chats_benchmark"],
    "list": ["channels", "modules", "hits", "nps_answers", "after_sales_tree", "range"],
    "timezone": ["Europe/Amsterdam", "browser", "utc"],
}
RICH = {"/rows", "/query", "/variable", "/export/{name}.csv"}  # they get most of the cases
DIMS = ["tenant", "channel", "device", "experience", "folder", "module"]


def operations() -> list[tuple[str, str]]:
    return [(path, method) for path, found in document()["paths"].items() for method in found]


def test_every_path_and_method_is_told(client: Client) -> None:
    app: Flask = client.http.application
    served = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == set(operations())
    assert client.get("/openapi.json", headers={}).json == document()


def test_every_status_is_told() -> None:
    told = {
        code
        for path, method in operations()
        for code in document()["paths"][path][method]["responses"]
    }
    assert told == {
        "200",
        "303",
        "400",
        "401",
        "403",
        "404",
        "405",
        "413",
        "415",
        "422",
        "429",
        "503",
    }


def test_the_choices_are_those_that_grafana_is_offered(client: Client) -> None:
    [nps] = [one for one in client.post("/metrics", {}).json if one["value"] == "nps"]
    offered = {
        one["name"]: {o["value"] for o in one["options"]}
        for one in nps["payloads"]
        if "options" in one
    }
    told = {name: set(schema["enum"]) for name, schema in FIELDS.items() if "enum" in schema}
    assert told.pop("list") == set(LISTS)  # which no payload has in place of its KPI
    assert told == {name: values for name, values in offered.items() if name != "by"}


def pointed(known: bool) -> dict[str, Any]:
    """The document, as it is or with ids, dims and times that occur."""
    found = deepcopy(document())
    if known:
        schemas = found["components"]["schemas"]
        for name, values in OCCURRING.items():
            schemas[name]["enum"] = values
        for name in ("target", "metric"):
            schemas[name]["enum"] = OCCURRING["kpi"]
        for name in ("dim", "key"):
            schemas[name]["enum"] = DIMS
        schemas["by"] = {"type": "array", "maxItems": 1, "items": {"enum": ["tenant"]}}
        schemas["filters"] = {
            "enum": [
                {"tenant": "a"},
                {"tenant": ["a", "b"]},
                {"tenant": "(a|b)"},
                {"tenant": {"op": "=~", "values": ["."]}},
            ]
        }
        schemas["from"] = {"type": "integer", "minimum": 1767225600000, "maximum": 1772668800000}
        schemas["to"] = {"type": "integer", "minimum": 1772668800000, "maximum": 1780668800000}
        rows = found["paths"]["/rows"]["post"]["requestBody"]["content"]["application/json"][
            "schema"
        ]
        asked = {
            name: rows["properties"][name]["anyOf"][0]
            for name in ("kpi", "from", "to", "shape", "by", "filters", "interval")
        }
        rows |= {
            "properties": asked,
            "required": ["kpi", "from", "to"],
            "additionalProperties": False,
        }
        found["paths"]["/export/{name}.csv"]["get"]["parameters"][0]["schema"]["enum"] = OCCURRING[
            "kpi"
        ]
    return found


def check(case: Case, headers: dict[str, str]) -> None:
    """Send a case; what comes back must be documented, and an error in the one shape."""
    answer = case.call(headers=headers)
    told = case.operation.definition.raw["responses"]
    assert answer.status_code < 500, answer.text
    assert str(answer.status_code) in told, (answer.status_code, answer.text)
    if answer.status_code >= 400:
        jsonschema_rs.validator_for(ERROR).validate(answer.json())
    elif answer.status_code == 200 and "json" in answer.headers["content-type"][0]:
        schema = told["200"]["content"]["application/json"]["schema"]
        jsonschema_rs.validator_for(schema).validate(answer.json())


@pytest.mark.parametrize("known", [True, False], ids=["occurring", "anything"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path, method", operations())
def test_fuzz(client: Client, path: str, method: str, mode: str, known: bool) -> None:
    app = create_app(client.url)
    schema = schemathesis.openapi.from_dict(pointed(known))
    schema.app = app
    operation = schema[path][method]
    made = operation.as_strategy(generation_mode=MODES[mode])

    @settings(
        max_examples=max(1, CASES // (20 if path in RICH else 100)),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=made)
    def run(case: Case) -> None:
        check(case, client.headers)

    if mode == "positive" or operation.body or operation.query:
        run()
        reached(client.connection)
