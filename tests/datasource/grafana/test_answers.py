"""The server answers every question that a dashboard asks, on the demo data."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from datasource import demo
from tests.conftest import Databases
from tests.datasource.grafana.boards import (
    BOARDS,
    MONTH,
    PROXY,
    Value,
    body,
    brought,
    filled,
    panel_targets,
    rows,
    shown,
    targets,
    values_of,
)
from tests.datasource.protocol.client import Client, served

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
each = pytest.mark.parametrize("path", [path for path in BOARDS if "/en/" in path])


@pytest.fixture(scope="module")
def server(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Serve a small demo."""
    records = map(json.loads, demo.lines(events=40_000, days=90, until=NOW))
    with pytest.MonkeyPatch.context() as patch:
        now = NOW.isoformat()
        yield served(database, records, tmp_path_factory.mktemp("demo"), patch, now=now)


def one_of_repeated(board: dict[str, Any], values: dict[str, Value]) -> dict[str, Value]:
    """Return the variables as a panel has them that is repeated for one of several values."""
    repeated = {panel["repeat"] for panel in shown(board) if panel.get("repeat")}
    return values | {name: values[name][0] for name in repeated if isinstance(values[name], list)}


def singles(board: dict[str, Any]) -> set[str]:
    """Return the variables that hold one value."""
    return {one["name"] for one in board["templating"]["list"] if not one.get("multi")}


@each
def test_every_question_is_answered_with_the_fields_that_the_panel_shows(
    server: Client, path: str
) -> None:
    board = BOARDS[path]
    values = values_of(server, board)
    if "module" in singles(board):  # one of a type that has details
        asked = {"list": "modules", "from": MONTH["from"], "to": MONTH["to"]}
        modules = server.rows(asked | {"filters": {"tenant": values["tenant"]}})
        [chosen, *_] = [row for row in modules if row["module_type"] == "decision"]
        values |= {"module": chosen["id"], "experience": chosen["experience"]}
    values = one_of_repeated(board, values)
    empty = []
    for panel in shown(board):
        answers = [rows(server, t, values) for t in panel["targets"] if t.get("source") == "url"]
        asked = [t for t in panel["targets"] if t.get("source") == "url"]
        for target, found in zip(asked, answers, strict=True):
            selected = {column["selector"] for column in target["columns"]}
            if found:
                assert selected <= set().union(*found), (panel["title"], target["refId"])
        if answers and not any(answers):
            empty.append(panel["title"])
    assert not empty, "in its default range no panel is empty"


@each
def test_a_selection_without_anything_is_answered(server: Client, path: str) -> None:
    board = BOARDS[path]
    values = one_of_repeated(board, values_of(server, board))
    for name in ("experience", "bot", "location", "module"):
        if name in values and name not in brought(board):
            values[name] = "nothing" if name in singles(board) else ["nothing"]
    for target in panel_targets(board):
        rows(server, target, values)


@each
@pytest.mark.parametrize(
    "span",
    [
        ("1803254400000", "1803859200000"),
        ("1803859200000", "1803902400000"),
        ("1700000000000", "1803902400000"),
    ],
)
def test_other_ranges_are_answered(server: Client, path: str, span: tuple[str, str]) -> None:
    """The last seven days, today, and the entire time."""
    board = BOARDS[path]
    values = one_of_repeated(board, values_of(server, board))
    values |= dict(zip(("__timeFrom", "__timeTo"), span, strict=True))
    for target in targets(board):
        answer = server.post(target["url"], body(target, values))
        assert answer.status_code == 200, (target["url_options"]["data"], answer.text)


@each
def test_downloads_are_answered(server: Client, path: str) -> None:
    board = BOARDS[path]
    values = one_of_repeated(board, values_of(server, board) | {"__timezone": "UTC"})
    found = {link["url"] for panel in shown(board) for link in panel.get("links", [])}
    for url in sorted(url for url in found if url.startswith(PROXY)):
        answer = server.get(filled(url.removeprefix(PROXY), values))
        assert answer.status_code == 200, (url, answer.text)
        assert answer.mimetype == "text/csv" and answer.text.count("\n") >= 1, url
