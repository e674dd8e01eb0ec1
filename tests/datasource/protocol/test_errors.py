"""Whatever is sent: one shape, the right status, the message as the reason phrase, no 500."""

import io
import itertools
import json
from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from datasource.protocol.errors import one_line
from datasource.protocol.logs import JsonLines
from tests.datasource.protocol.client import MARCH, Client

PATHS = {
    **dict.fromkeys(("/", "/health", "/ready", "/export/messages.csv"), {"GET", "HEAD"}),
    **dict.fromkeys(("/rows", "/query", "/search", "/metric-payload-options"), {"POST"}),
    **dict.fromkeys(("/variable", "/annotations", "/tag-keys", "/tag-values"), {"POST"}),
    "/session": {"POST"},
    "/metrics": {"GET", "HEAD", "POST"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
GOOD = {"kpi": "messages", **MARCH}


def refused(answer: TestResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """Return the error that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    error: dict[str, Any] = json.loads(answer.text)
    assert list(error) == ["message", "code", "detail", "hint"]
    assert answer.status == f"{status} {error['message']}"
    assert 0 < len(error["message"]) <= 200 and error["message"].isascii()
    assert error["message"].isprintable() and error["code"].replace("_", "").islower()
    assert code in (None, error["code"])
    assert "Access-Control-Allow-Origin" not in answer.headers
    return error


@pytest.mark.parametrize("path, method", list(itertools.product(PATHS, METHODS)))
def test_methods(client: Client, path: str, method: str) -> None:
    answer = client.http.open(path, method=method, headers=client.headers)
    if method in PATHS[path]:
        assert answer.status_code in (200, 401, 415)
    elif method != "HEAD":
        refused(answer, 405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == PATHS[path]


@pytest.mark.parametrize(
    "path",
    ["/x", "/rows/", "/x//rows", "/export/messages.json", "/static/x", "/é", "/%00", "/a/../rows"],
)
def test_no_such_path(client: Client, path: str) -> None:
    refused(client.get(path), 404, "not_found")
    refused(client.post(path, {}, headers={}), 404, "not_found")


@pytest.mark.parametrize("path", [path for path, methods in PATHS.items() if "POST" in methods])
def test_bodies(client: Client, path: str) -> None:
    if path == "/session":
        return
    headers = {**client.headers, "Content-Type": "application/json"}
    for body in (b"", b"{", b"\xff", b"NaN", b'{"a":NaN}', b"[]", b'"x"', b"1", b'{"a":"\\ud800"}'):
        answer = client.http.post(path, data=body, headers=headers)
        refused(answer, 400, "invalid_json")
    for body in (
        b'{"a":"\\u0000"}',
        b'{"\\u0000":1}',
        b"[" * 100000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
    ):
        refused(client.http.post(path, data=body, headers=headers), 400)
    large = b" " * (1 << 20) + b"{}"
    refused(client.http.post(path, data=large, headers=headers), 413)
    chunked = {"input_stream": io.BytesIO(large), "environ_base": {"wsgi.input_terminated": True}}
    refused(client.http.post(path, headers=headers, **chunked), 413)
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", "x"):
        answer = client.http.post(path, data=b"{}", headers={**headers, "Content-Type": media})
        refused(answer, 415)
    answer = client.http.post(path, data=b"{}", headers={**headers, "Content-Encoding": "gzip"})
    refused(answer, 415)


def test_media_types_of_json(client: Client) -> None:
    for media in (
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "APPLICATION/JSON",
    ):
        headers = {**client.headers, "Content-Type": media}
        assert client.http.post("/search", data=b"{}", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "change, status, code",
    [
        ({"kpi": None}, 400, "missing_kpi"),
        ({"kpi": 1}, 400, "invalid_field"),
        ({"kpi": "mess\nages é😀"}, 404, "unknown_kpi"),
        ({"kpi": "x" * 1000}, 404, "unknown_kpi"),
        ({"from": None}, 400, "missing_range"),
        ({"from": "yesterday"}, 400, "invalid_field"),
        ({"from": "2026-03-01"}, 400, "invalid_field"),
        ({"from": "2026-03-01T00:00:00"}, 400, "invalid_field"),
        ({"from": "2026-02-30T00:00:00Z"}, 400, "invalid_field"),
        ({"from": True}, 400, "invalid_field"),
        ({"from": 1.5}, 400, "invalid_field"),
        ({"from": [1]}, 400, "invalid_field"),
        ({"from": "1999-12-31T23:59:59Z"}, 422, "invalid_range"),
        ({"from": -1}, 422, "invalid_range"),
        ({"from": 1e300}, 422, "invalid_range"),
        ({"to": "9" * 30}, 422, "invalid_range"),
        ({"to": "2101-01-01T00:00:00.001Z"}, 422, "invalid_range"),
        ({"to": MARCH["from"]}, 422, "invalid_range"),
        ({"shape": "pie"}, 422, "invalid_shape"),
        ({"shape": 1}, 400, "invalid_field"),
        ({"interval": "year"}, 422, "invalid_interval"),
        ({"interval": "year", "shape": "total"}, 422, "invalid_interval"),
        ({"granularity": "week"}, 422, "invalid_granularity"),
        ({"granularity": "hour"}, 422, "range_too_long"),
        ({"compare": "next"}, 422, "invalid_compare"),
        ({"compare": True}, 400, "invalid_field"),
        ({"timezone": 1}, 400, "invalid_field"),
        ({"by": "device"}, 400, "invalid_field"),
        ({"by": [1]}, 400, "invalid_field"),
        ({"by": ["experience"]}, 422, "unknown_dimension"),
        ({"filters": "x"}, 400, "invalid_field"),
        ({"filters": {"device": None}}, 400, "invalid_field"),
        ({"filters": {"device": [None]}}, 400, "invalid_field"),
        ({"filters": {"device": [["x"]]}}, 400, "invalid_field"),
        ({"filters": {"device": {"op": "="}}}, 400, "invalid_field"),
        ({"filters": {"device": {"op": "=", "values": None}}}, 400, "invalid_field"),
        ({"filters": {"device": {"op": "<", "values": ["x"]}}}, 422, "invalid_filter"),
        ({"filters": {"device": {"op": "=~", "values": ["("]}}}, 422, "invalid_filter"),
        ({"filters": {"device": {"op": "=~", "values": ["x" * 1001]}}}, 422, "invalid_filter"),
        ({"filters": {"device": ["x"] * 1001}}, 422, "too_many_values"),
        ({"filters": {"device": f"({'|'.join('x' * 1001)})"}}, 422, "too_many_values"),
        ({"adhocFilters": [{"key": "device", "value": "x"}] * 1001}, 422, "too_many_values"),
        # As long as a body may be, and read at once.
        ({"filters": {"device": f"({'x' * 400_000})", "nothing": "x"}}, 422, "unknown_dimension"),
        ({"filters": {"nothing": "x"}}, 422, "unknown_dimension"),
        ({"filters": [{"key": "device"}]}, 400, "invalid_field"),
        ({"adhocFilters": {"device": "x"}}, 400, "invalid_field"),
        ({"adhocFilters": [{"key": "device", "operator": ">", "value": 1}]}, 422, "invalid_filter"),
        ({"kpis": ["nps"]}, 422, "invalid_combination"),
        ({"kpi": None, "kpis": ["nps"]}, 422, "invalid_combination"),
        ({"kpi": None, "kpis": [], "shape": "total"}, 422, "invalid_combination"),
        ({"kpi": None, "kpis": ["nps", "x"], "shape": "total"}, 404, "unknown_kpi"),
        ({"shape": "distribution", "by": ["device"]}, 422, "invalid_combination"),
        ({"shape": "distribution", "kpi": "nps"}, 422, "no_distribution"),
        ({"list": "x"}, 404, "unknown_list"),
        ({"list": "hits", "offset": -1}, 422, "invalid_value"),
        ({"list": "hits", "offset": 1 << 63}, 422, None),
        ({"list": "users", "filters": {"device": "x"}}, 422, "unknown_dimension"),
        ({"list": "after_sales_tree", "kpi": None, "expanded": ["x"]}, 422, "invalid_path"),
        (
            {"list": "after_sales_tree", "kpi": None, "expanded": [[]] * 1001},
            422,
            "too_many_values",
        ),
        ({"list": "after_sales_tree", "kpi": "messages"}, 422, "unknown_dimension"),
    ],
)
def test_questions(client: Client, change: dict[str, Any], status: int, code: str | None) -> None:
    refused(client.post("/rows", {**GOOD, **change}), status, code)


def test_queries(client: Client) -> None:
    for body in ({}, {"targets": {}}, {"targets": [1]}, {"targets": [{"target": "nps"}]}):
        refused(client.post("/query", body), 400)
    many = {"range": MARCH, "targets": [{"target": "nps"}] * 51}
    refused(client.post("/query", many), 422, "too_many_targets")
    one = {"range": MARCH, "targets": [{"target": "nps", "payload": "x"}]}
    refused(client.post("/query", one), 400, "invalid_field")


def test_other_paths(client: Client) -> None:
    refused(client.post("/metric-payload-options", {"metric": "x", "name": "by"}), 404)
    refused(client.post("/variable", {"payload": {}}), 400)
    refused(client.post("/variable", {"payload": {"dim": "x"}}), 422, "unknown_dimension")
    refused(client.post("/tag-values", {}), 400)
    refused(client.post("/tag-values", {"key": "x"}), 422)
    refused(client.post("/annotations", {}), 400, "missing_range")
    refused(client.get("/export/x.csv"), 404, "unknown_kpi")
    refused(client.get("/export/messages.csv?where=device"), 400)
    refused(client.get("/export/messages.csv?from=x"), 400)
    refused(client.get("/export/messages.csv?shape=%00"), 422)


@pytest.mark.parametrize(
    "text",
    ["'; DROP TABLE kpi_admin.token; --", '"); SELECT 1; --', "%s %(x)s {}", "\\", "$1", "x'||'"],
)
def test_nothing_is_injected(client: Client, text: str) -> None:
    for change in ({"kpi": text}, {"by": [text]}, {"filters": {text: "x"}}, {"list": text}):
        assert client.post("/rows", {**GOOD, **change}).status_code in (404, 422)
    for value in (
        text,
        [text],
        {"op": "!=", "values": [text]},
        {"op": "=~", "values": ["x" + text]},
    ):
        answer = client.post("/rows", {**GOOD, "filters": {"device": value}})
        assert answer.status_code in (200, 422)
    assert client.post("/rows", {**GOOD, "timezone": text}).status_code == 200
    assert client.rows(GOOD)


def test_a_fault_is_logged_and_not_told(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("datasource.protocol.app.parse", lambda body: 1 / 0)
    error = refused(client.post("/rows", GOOD), 503, "internal")
    number = error["detail"].removeprefix("request ")
    [fault] = [record for record in caplog.records if record.name == "chatkpi"]
    line = orjson.loads(JsonLines().format(fault))
    assert line["request_id"] == number and "ZeroDivisionError" in line["trace"]


def test_a_message_is_one_line() -> None:
    assert one_line("a\r\n\x7fé😀") == "a\\x0d\\x0a\\x7f\\xe9\\U0001f600"
    assert one_line("é" * 100) == "\\xe9" * 50
    assert one_line("\ud800") == "\\ud800"
    assert len(one_line("x" * 500)) == 200
