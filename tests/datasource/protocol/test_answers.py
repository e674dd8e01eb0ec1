"""POST /rows and /query as Grafana's data sources send them, and the menus they ask for."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Databases
from tests.datasource.protocol.client import MARCH, Client, served
from tests.datasource.protocol.conftest import RECORDS

FIRST = 1772319600000  # 2026-03-01 in Amsterdam
DAY, MINUTE = 86_400_000, 60_000
AT = 1772445600000  # 2026-03-02T10:00:00Z


def test_a_series(client: Client) -> None:
    a = client.token(["a"])
    body = {"kpi": "messages", "from": FIRST, "to": str(FIRST + 3 * DAY), "by": ["channel"]}
    answer = client.post("/rows", body, headers=a)
    assert answer.headers["X-Range-From"] == "2026-02-28T23:00:00Z"
    assert answer.headers["X-Range-To"] == "2026-03-03T23:00:00Z"
    assert [list(row.values()) for row in answer.json] == [
        [FIRST + day * DAY, *group, 0 if day != 1 else count]
        for day in range(3)
        for group, count in ((["c", "Web"], 4), (["q", "q"], 1))
    ]
    assert list(answer.json[0]) == ["time", "channel", "channel_name", "value"]
    empty = {**body, "filters": {"channel": "none"}}
    assert client.rows(empty, headers=a) == []


def test_totals(client: Client) -> None:
    total = {"shape": "total", **MARCH}
    assert client.rows({"kpi": "messages", **total}) == [{"value": 7}]
    assert client.rows({"kpi": "nps", **total, "filters": {"tenant": "a"}}) == [{"value": 0}]
    assert client.rows({"kpi": "bounce_rate", **total, "filters": {"tenant": "b"}}) == [
        {"value": None}
    ]
    compared = {"kpi": "messages", **total, "compare": "previous", "by": ["tenant", "tenant"]}
    assert client.rows(compared) == [
        {"tenant": "a", "tenant_name": "Ámo", "value": 5, "previous": 0},
        {"tenant": "b", "tenant_name": "b", "value": 2, "previous": 0},
    ]
    several = {"kpis": ["messages", "nps", "screen_time", "messages"], **total, "by": ["tenant"]}
    assert client.rows(several) == [
        {"tenant": "a", "tenant_name": "Ámo", "messages": 5, "nps": 0, "screen_time": 0},
        {"tenant": "b", "tenant_name": "b", "messages": 2, "nps": None, "screen_time": 0},
    ]


def test_a_distribution(client: Client) -> None:
    rows = client.rows({"kpi": "messages", "shape": "distribution", **MARCH})
    assert [row["hour"] for row in rows] == [str(hour) for hour in range(24)]
    assert list(rows[0]) == ["hour", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    assert [(row["hour"], row["mon"]) for row in rows if row["mon"]] == [("10", 0.4), ("11", 1)]
    assert {row["tue"] for row in rows} == {0}


def test_a_range_that_now_cuts_away(client: Client) -> None:
    future = {"from": "2028-01-01T00:00:00Z", "to": "2028-02-01T00:00:00Z", "kpi": "messages"}
    answer = client.post("/rows", {**future, "filters": {"tenant": "b"}})
    assert answer.json == []
    assert answer.headers["X-Range-From"] == answer.headers["X-Range-To"] == "2027-06-02T00:00:00Z"
    assert client.rows({**future, "shape": "total"}) == [{"value": 0}]
    nobody = {**future, "filters": {"tenant": {"op": "=~", "values": ["zz"]}}, "shape": "total"}
    answer = client.post("/rows", nobody)
    assert answer.json == [{"value": 0}]
    assert answer.headers["X-Range-From"] == answer.headers["X-Range-To"] == future["to"]


@pytest.mark.parametrize(
    "filters, counted",
    [
        ({"channel": "c"}, 4),
        ({"channel": ["c", "no touchpoint"]}, 6),
        ({"channel": "(c|no touchpoint)"}, 6),
        ({"channel": '["c","q"]'}, 5),
        ({"channel": "{c,q}"}, 5),
        ({"channel": "*"}, 7),
        ({"channel": []}, 7),
        ({"channel": {"op": "!=", "values": ["c"]}}, 3),
        ({"channel": {"op": "=~", "values": ["c|q"]}}, 5),
        ([{"key": "channel", "operator": "=", "value": "*"}], 0),
        ([{"key": "channel", "operator": "=|", "value": "", "values": ["c", "q"]}], 5),
        ([{"key": "channel", "operator": "!=|", "values": ["c", "q"]}], 2),
        ([{"key": "channel", "operator": "!~", "value": "c"}], 3),
    ],
)
def test_filters(client: Client, filters: Any, counted: int) -> None:
    total = {"kpi": "messages", "shape": "total", **MARCH}
    assert client.rows({**total, "filters": filters}) == [{"value": counted}]
    target = {"target": "messages", "payload": {"shape": "total"}}
    around = {"range": MARCH, "targets": [target], "filters": filters}
    assert client.post("/query", around).json[0]["rows"] == [[counted]]
    if isinstance(filters, list):
        assert client.rows({**total, "adhocFilters": filters}) == [{"value": counted}]


def test_query_as_simpod_json_posts_it(client: Client) -> None:
    body = {
        "app": "panel-editor",
        "requestId": "Q101",
        "timezone": "browser",
        "panelId": 2,
        "range": {
            "from": "2026-02-28T23:00:00.000Z",
            "to": "2026-03-02T22:59:59.999Z",
            "raw": {"from": "now-2d/d", "to": "now/d"},
        },
        "interval": "30s",
        "intervalMs": 30000,
        "maxDataPoints": 1200,
        "cacheTimeout": None,
        "targets": [
            {
                "refId": "A",
                "target": "messages",
                "payload": {"interval": "day", "compare": "previous"},
            },
            {
                "refId": "B",
                "target": "messages",
                "payload": {"by": ["device", "channel"], "timezone": "Europe/Amsterdam"},
            },
            {"refId": "C", "target": "nps_answers", "type": "table", "payload": ""},
            {
                "refId": "D",
                "target": "messages",
                "hide": False,
                "payload": {"shape": "total", "compare": None},
            },
        ],
        "filters": [{"key": "tenant", "operator": "=", "value": "a"}],
        "startTime": 1700000000000,
        "scopedVars": {"__interval": {"text": "30s", "value": "30s"}},
    }
    answer = client.post("/query", body)
    assert answer.headers["X-Range-To"] == "2026-03-02T23:00:00Z"
    found = answer.json
    assert [frame["refId"] for frame in found] == ["A", "A", "B", "B", "B", "C", "D"]
    assert found[0] == {
        "target": "Messages",
        "datapoints": [[0, FIRST], [5, FIRST + DAY]],
        "refId": "A",
    }
    assert found[1]["target"] == "Messages (previous)"
    assert found[1]["datapoints"] == [[0, FIRST], [0, FIRST + DAY]]
    assert [frame["target"] for frame in found[2:5]] == [
        "mobile, Web",
        "no device, Web",
        "no device, q",
    ]
    assert len(found[2]["datapoints"]) == 48  # 48 hours are under 72
    assert found[5]["columns"] == [
        {"text": "time", "type": "time"},
        {"text": "value", "type": "number"},
    ]
    assert found[6] == {
        "type": "table",
        "columns": [{"text": "value", "type": "number"}],
        "rows": [[5]],
        "refId": "D",
    }
    assert client.post("/query", {"targets": [], "range": MARCH}).json == []


def test_a_target_that_is_wrong_says_so_and_loses_no_other(client: Client) -> None:
    targets: list[dict[str, Any]] = [
        {"target": "no_such", "refId": "A"},
        {"target": "messages", "refId": "B", "payload": {"filters": {"tenant": "a"}}},
        {"target": "messages", "refId": "C", "payload": {"by": ["no_such"]}},
        {"target": "messages", "refId": "D", "payload": {"shape": 1}},
        {"target": "nps", "refId": "E", "type": "table", "payload": {"shape": "total"}},
    ]
    answer = client.post("/query", {"range": MARCH, "targets": targets})
    frames = answer.json
    assert answer.status_code == 200 and [frame["refId"] for frame in frames] == list("ABCDE")
    assert [frame.get("error", {}).get("code") for frame in frames] == [
        "unknown_kpi",
        None,
        "unknown_dimension",
        "invalid_field",
        None,
    ]
    for frame in (frames[0], frames[2], frames[3]):
        assert frame["target"] == frame["error"]["message"] and frame["datapoints"] == []
        assert list(frame["error"]) == ["message", "code", "detail", "hint"]
    alone = client.post("/query", {"range": MARCH, "targets": [targets[1], targets[4]]})
    assert [frames[1], frames[4]] == alone.json
    assert answer.headers["X-Range-From"] == alone.headers["X-Range-From"]
    # One of another tenant, among those of a token's own.
    b = client.token(["b"])
    both = [targets[1], {"target": "messages", "refId": "B"}]
    refused, counted = client.post("/query", {"range": MARCH, "targets": both}, headers=b).json
    assert refused["error"]["code"] == "forbidden_tenant" and counted["target"] == "Messages"
    for _ in range(3):  # whether the right one is kept or not
        kept = client.post("/query", {"range": MARCH, "targets": [targets[1], targets[0]]})
        assert kept.status_code == 200 and kept.json == [frames[1], frames[0]]
    wrong = client.post("/query", {"range": MARCH, "targets": [targets[3], targets[0]]})
    assert wrong.status_code == 400 and wrong.json["code"] == "invalid_field"
    wrong = client.post("/query", {"range": MARCH, "targets": [targets[0], targets[2]]})
    assert wrong.status_code == 404 and wrong.json["code"] == "unknown_kpi"


def test_dates_of_the_viewer(client: Client) -> None:
    """The end may be a day's last millisecond; three days then are not under 72 hours."""
    body = {
        "kpi": "messages",
        "from": "2026-03-01T00:00:00-05:00",
        "to": "2026-03-03T23:59:59.999-05:00",
        "timezone": "America/New_York",
        "filters": {"tenant": "a"},
    }
    answer = client.post("/rows", body)
    assert answer.headers["X-Range-From"] == "2026-02-28T23:00:00Z"
    assert answer.headers["X-Range-To"] == "2026-03-03T23:00:00Z"
    assert [row["value"] for row in answer.json] == [0, 5, 0]


def test_an_empty_series_is_named(client: Client) -> None:
    future = {"from": "2028-01-01T00:00:00Z", "to": "2028-02-01T00:00:00Z"}
    body = {"range": future, "targets": [{"target": "nps", "payload": {"compare": "previous"}}]}
    assert client.post("/query", body).json == [
        {"target": "NPS", "datapoints": []},
        {"target": "NPS (previous)", "datapoints": []},
    ]


def test_menus(client: Client) -> None:
    found = client.post("/search", {"target": "NPS"}).json
    assert {"text": "NPS", "value": "nps"} in found and len(found) == 6
    metrics = client.post("/metrics", {"metric": 1, "payload": {"by": 2}}).json
    assert (
        len(metrics)
        == len(client.post("/search", {}).json)
        == len(client.rows({"list": "catalog"}))
    )
    by = {"metric": "leads", "payload": {}, "name": "by"}
    options = [one["value"] for one in client.post("/metric-payload-options", by).json]
    assert options == ["device", "channel", "inbox", "category", "tenant"]
    [leads] = [one for one in metrics if one["value"] == "leads"]
    assert {"label": "by", "name": "by", "type": "multi-select", "placeholder": "nothing"} in leads[
        "payloads"
    ]
    assert client.post("/metric-payload-options", {**by, "name": "x"}).json == []
    filters = [o["name"] for o in leads["payloads"] if o["name"].startswith("filters.")]
    assert filters == [f"filters.{dim}" for dim in options]
    channels = {**by, "name": "filters.channel"}
    assert client.post("/metric-payload-options", channels).json == [
        {"label": "Web", "value": "c"},
        {"label": "no touchpoint", "value": "no touchpoint"},
        {"label": "q", "value": "q"},
    ]
    of_b = {**channels, "payload": {"filters.tenant": ["b"], "filters.device": ["mobile"]}}
    assert len(client.post("/metric-payload-options", of_b).json) == 1
    assert client.post("/metric-payload-options", {**by, "name": "filters.score"}).json == []
    # What the builder then posts: a flat payload of texts and lists of texts.
    built = {
        "shape": "total",
        "by": ["channel"],
        "filters.channel": ["c", "q"],
        "filters.tenant": "a",
    }
    query = {"range": MARCH, "targets": [{"target": "messages", "payload": built}]}
    assert client.post("/query", query).json[0]["rows"] == [["c", "Web", 4], ["q", "q", 1]]
    assert {"type": "string", "text": "tenant", "key": "tenant"} in client.post(
        "/tag-keys", {}
    ).json
    values = client.post("/tag-values", {"key": "channel", "filters": []}).json
    assert values == [{"text": "c"}, {"text": "no touchpoint"}, {"text": "q"}]
    only_b = client.post("/tag-values", {"key": "channel"}, headers=client.token(["b"])).json
    assert only_b == [{"text": "no touchpoint"}]
    assert client.post("/tag-values", {"key": "tenant"}).json == [{"text": "a"}, {"text": "b"}]


def test_variables(client: Client) -> None:
    def ask(**payload: Any) -> list[tuple[str, str]]:
        answer = client.post("/variable", {"payload": payload, "range": MARCH})
        return [(one["__value"], one["__text"]) for one in answer.json]

    assert ask(dim="tenant") == [("b", "b"), ("a", "Ámo")]
    assert ask(dim="channel", filters={"tenant": "a"}) == [
        ("c", "Web"),
        ("q", "q"),
    ]
    assert ask(dim="module", filters={"experience": "no experience"}) == [
        ("m1", "One"),
        ("m2", "Two"),
        ("no module", "no module"),
    ]
    assert ask(list="experiences") == [("x", "Quiz"), ("other", "other")]
    assert ask(list="modules", filters={"tenant": "a"}) == [("m1", "One"), ("m2", "Two")]


def test_annotations(client: Client) -> None:
    span = {"from": "2025-12-31T23:00:00Z", "to": "2026-12-31T23:00:00Z"}
    body = {"range": span, "annotation": {"name": "Year", "query": "anything"}}
    both = client.post("/annotations", body).json
    assert [(one["time"], one["title"]) for one in both] == [(1767225600000, "2026")]
    assert both[0]["annotation"] == body["annotation"]
    one = client.post("/annotations", body, headers=client.token(["a"])).json
    assert [(one["time"], one["title"]) for one in one] == [(1767222000000, "2026")]


def test_annotations_as_grafana_asks_a_data_source(client: Client) -> None:
    span = {"from": "2025-12-31T23:00:00Z", "to": "2026-12-31T23:00:00Z"}
    target = {"target": "annotations", "refId": "Anno", "payload": {"filters": {"tenant": "a"}}}
    [table] = client.post("/query", {"range": span, "targets": [target]}).json
    assert [column["text"] for column in table["columns"]] == ["time", "title", "text", "tags"]
    assert table["refId"] == "Anno" and table["rows"] == [
        [1767222000000, "2026", "2026", "year"],
        [AT, "Quiz", "first data", "experience"],
        [AT + 4 * MINUTE, "other", "first data", "experience"],
    ]
    later = {"from": "2026-03-02T10:04:00Z", "to": "2026-12-31T23:00:00Z"}
    [table] = client.post("/query", {"range": later, "targets": [target]}).json
    assert [row[1] for row in table["rows"]] == ["other"]
    of_b = client.post("/query", {"range": later, "targets": [target]}, headers=client.token(["b"]))
    assert of_b.status_code == 403


def test_an_answer_of_too_many_bytes_is_refused(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = served(database, RECORDS, tmp_path, monkeypatch)
    client.connection.execute(
        "CREATE OR REPLACE FUNCTION kpi_http.most_bytes() RETURNS bigint LANGUAGE sql IMMUTABLE "
        "SET search_path = pg_catalog, pg_temp AS 'SELECT 200'"
    )
    assert client.rows({"kpi": "messages", "shape": "total", **MARCH}) == [{"value": 7}]
    series = {"kpi": "messages", "interval": "day"}
    asked = {"range": MARCH, "targets": [{"target": "messages", "refId": "A", "payload": {}}]}
    for path, body in (("/rows", series | MARCH), ("/query", asked)):
        answer = client.post(path, body)
        assert (answer.status_code, answer.json["code"]) == (422, "answer_too_large"), answer.text
    texts = client.post("/rows", {"list": "nps_answers", **MARCH})
    assert (texts.status_code, texts.json["code"]) == (422, "answer_too_large"), texts.text
    menu = client.post("/search", {"target": ""})
    assert (menu.status_code, menu.json["code"]) == (422, "answer_too_large"), menu.text
