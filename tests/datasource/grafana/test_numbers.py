"""Every number on every panel is the oracle's answer to the panel's own question."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datasource import demo
from tests.agreement import EPOCH, agrees, grouped
from tests.conftest import Databases
from tests.datasource.grafana.boards import (
    BOARDS,
    CATALOG,
    Json,
    Value,
    body,
    panel_targets,
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
    picked = {v["name"]: v for v in board["templating"]["list"] if v["type"] == "custom"}
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


@each
def test_numbers_are_the_oracles(server: Client, oracle: Oracle, path: str) -> None:
    board = BOARDS[path]
    for asked in questions(board, values_of(server, board)):
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
