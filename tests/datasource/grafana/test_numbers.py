"""Every number on every panel is the oracle's answer to the panel's own question."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jq
import pytest

from datasource import demo
from datasource.grafana.question import Question, series_target, totals_target
from tests.agreement import EPOCH, agrees, grouped
from tests.conftest import Databases
from tests.datasource.grafana.boards import (
    BOARDS,
    CATALOG,
    Json,
    Value,
    body,
    panel_targets,
    single,
    values_of,
)
from tests.datasource.protocol.client import Client, served
from tests.oracle.oracle import Oracle

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
RECORDS = [json.loads(line) for line in demo.lines(events=12_000, days=70, until=NOW)]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
each = pytest.mark.parametrize("path", [path for path in BOARDS if "/en/" in path])


@pytest.fixture(scope="module")
def server(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Serve a small demo."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("demo")
        yield served(database, RECORDS, folder, patch, now=NOW.isoformat())


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """Return the oracle on the same records."""
    return Oracle(RECORDS, NOW)


def chosen_by(panel: Json, board: Json, values: dict[str, Value]) -> list[dict[str, Value]]:
    """Return the variables as the panel can have them: of a metric to pick, each one once."""
    variables = board["templating"]["list"]
    # One without options of its own holds what links bring.
    picked = {v["name"]: v for v in variables if v["type"] == "custom" and v["query"]}
    found = [values]
    for name in {panel.get("repeat"), *(picked.keys() - {"page"})} & values.keys():
        if name in picked:
            options = [one.rsplit(" : ", 1)[1] for one in picked[name]["query"].split(", ")]
        else:
            options = list(values[name])
        if "behind" in board["uid"]:
            options = ["sessions", "leads", "nps", "mecs"]
        found = [one | {name: option} for one in found for option in options]
    return found


def questions(board: Json, values: dict[str, Value]) -> Iterator[Json]:
    """Give every question about KPIs that a dashboard's panels may ask."""
    for panel in [one for top in board["panels"] for one in (top, *top.get("panels", []))]:
        for target in panel_targets({"panels": [panel]}):
            bodies = [body(target, chosen) for chosen in chosen_by(panel, board, values)]
            yield from {str(asked): asked for asked in bodies if "list" not in asked}.values()


def wanted(oracle: Oracle, asked: Json, kpi: str) -> Any:
    """Return the oracle's answer about one KPI of a question."""
    dims = {"tenant", *CATALOG.kpis[kpi].dims}
    narrowed = {dim: value for dim, value in asked["filters"].items() if dim in dims}
    question = {name: value for name, value in asked.items() if name not in ("kpis", "filters")}
    return oracle.answer({**question, "kpi": kpi, "filters": narrowed})


def got(rows: list[Json], asked: Json, column: str) -> Any:
    """Return the server's rows in the oracle's form."""
    if asked.get("shape") == "distribution":
        return [
            {"weekday": str(n + 1), "hour": row["hour"], "value": row[day]}
            for n, day in enumerate(WEEKDAYS)
            for row in rows
        ]
    by, compare = asked.get("by", []), asked.get("compare", "")
    found = [
        (
            EPOCH + timedelta(milliseconds=row["time"]) if "time" in row else None,
            {dim: row[dim] for dim in by},
            row[column],
            row.get(compare) if compare else None,
        )
        for row in rows
    ]
    return grouped(found, asked["shape"], compare)


def rows_of(answer: Json) -> list[Json]:
    """Return a series or a table of POST /query as rows."""
    if "columns" in answer:
        names = [column["text"] for column in answer["columns"]]
        return [dict(zip(names, row, strict=True)) for row in answer["rows"]]
    return [{"time": at, "value": value} for value, at in answer["datapoints"]]


@each
def test_numbers_are_the_oracles(server: Client, oracle: Oracle, path: str) -> None:
    board = BOARDS[path]
    for asked in questions(board, values_of(server, board)):
        if "targets" in asked:
            series = server.post("/query", asked).json
            for one, answer in zip(single(asked), series, strict=True):
                rows = rows_of(answer)
                expected = wanted(oracle, one, one["kpi"])
                assert agrees(got(rows, one, "value"), expected), one
            continue
        rows = server.rows(asked)
        for kpi in asked.get("kpis", [asked.get("kpi")]):
            expected = wanted(oracle, asked, kpi)
            if "kpis" not in asked:
                assert agrees(got(rows, asked, "value"), expected), asked
                continue
            # Side by side a row stands for a group of any of the KPIs.
            groups = {json.dumps(row.get("dims", {})) for row in expected}
            answer = got(rows, asked, kpi)
            there = [row for row in answer if json.dumps(row.get("dims", {})) in groups]
            assert agrees(there, expected), (kpi, asked)
            missing = 0 if CATALOG.kpis[kpi].counting not in ("ratio", "score", "value") else None
            assert all(row["value"] == missing for row in answer if row not in there), (kpi, asked)


def test_series_asked_together_become_rows_by_time() -> None:
    answer = [
        {"refId": "service chat", "datapoints": [[1, 20], [2, 30]]},
        {"refId": "nps", "datapoints": [[None, 20], [4, 40]]},
    ]
    target = series_target(
        {"service chat": Question(kpis=["chats_by_kind"]), "nps": Question(kpis=["nps"])}
    )
    found = jq.compile(target["root_selector"]).input_value(answer).first()
    assert found == [
        {"time": 20, "service chat": 1, "nps": None},
        {"time": 30, "service chat": 2},
        {"time": 40, "nps": 4},
    ]
    names = [column["selector"] for column in target["columns"]]
    assert names == ["time", "service chat", "nps"]


def test_totals_asked_together_become_a_row() -> None:
    columns = [{"text": "value"}, {"text": "previous"}]
    answer = [
        {"refId": "nps", "columns": columns, "rows": [[17.5, None]]},
        {"refId": "bounces", "columns": columns, "rows": [[3, 2]]},
    ]
    program = totals_target({kpi: Question(kpis=[kpi]) for kpi in ("nps", "bounces")})[
        "root_selector"
    ]
    row = {"nps": 17.5, "nps before": None, "nps difference": None}
    row |= {"bounces": 3, "bounces before": 2, "bounces difference": 1}
    assert jq.compile(program).input_value(answer).first() == [row]
    answer.append({"refId": "x", "target": "There is no KPI x.", "error": {"code": "unknown_kpi"}})
    with pytest.raises(ValueError, match="There is no KPI x"):
        jq.compile(program).input_value(answer).first()


@pytest.mark.parametrize("kpi", ["sessions", "messages", "leads", "bounces", "bot_points"])
def test_behind_a_number_stands_what_the_oracle_counted(
    server: Client, oracle: Oracle, kpi: str
) -> None:
    [board] = [board for board in BOARDS.values() if board["uid"] == "chatkpi-en-behind-the-number"]
    values = values_of(server, board) | {"kpi": kpi}
    [asked] = [
        body(target, values)
        for target in panel_targets(board)
        if '"list": "hits"' in target["url_options"]["data"]
    ]
    found = server.rows(asked)
    question = {"kpi": kpi, "from": asked["from"], "to": asked["to"], "timezone": asked["timezone"]}
    expected = oracle.hits({**question, "filters": {"tenant": asked["filters"]["tenant"]}})
    assert [row["id"] for row in found] == [hit.id for _, hit in expected][:1000] and found
