"""Worked cases, faults reported of others, and the ranges that answers use, through HTTP."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.agreement import Http, agrees, are_dates, installed, instant, same
from tests.conftest import Databases
from tests.datasource.protocol.client import NOW as CASES_NOW
from tests.datasource.protocol.client import Client, served
from tests.oracle import Oracle, QuestionError
from tests.oracle.random_questions import describe, questions
from tests.oracle.random_records import NOW, tenants
from tests.views.test_cases import CASES

REPORT_LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "fixtures" / "reports.ndjson")
    .read_text("utf-8")
    .splitlines()
]
# Neighbouring lines share their records, and so a database.
REPORTS = [
    (key, list(lines))
    for key, lines in groupby(REPORT_LINES, lambda line: json.dumps(line["records"]))
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_case(
    number: int, database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, lines = CASES[number]
    url, connection = installed(database, json.loads(records), tmp_path, CASES_NOW)
    http = Http(url, connection, CASES_NOW, monkeypatch)
    for line in lines:
        got: Any = http.ask(line["question"])
        if line["question"]["shape"] == "distribution" and isinstance(got, list):
            got = [cell for cell in got if cell["value"]]
        assert agrees(got, line.get("answer", "error")), (line["case"], got)


@pytest.mark.parametrize(
    "records, lines",
    REPORTS,
    ids=[lines[0]["report"][:50] for _, lines in REPORTS],
)
def test_what_was_reported_of_others(
    records: str,
    lines: list[dict[str, Any]],
    database: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, connection = installed(database, json.loads(records), tmp_path, lines[0]["now"])
    for line in lines:
        monkeypatch.setenv("CHATKPI_NOW", line["now"])
        client = Client(url, connection)
        method, path, body = line["request"]
        answer = client.get(path) if method == "GET" else client.post(path, body)
        if isinstance(line["answer"], int):
            assert answer.status_code == line["answer"], (line["case"], answer.text)
            assert answer.get_json().keys() == {"message", "code", "detail", "hint"}
            continue
        assert answer.status_code == 200, (line["case"], answer.text)
        got = answer.text if isinstance(line["answer"], str) else answer.get_json()
        assert same(got, line["answer"]), (line["case"], got)


def test_ranges_equal_the_oracle(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = tenants(101, 6)
    oracle = Oracle(records, NOW)
    client = served(database, records, tmp_path, monkeypatch, NOW.isoformat())
    asked = 0
    for question in questions(101, describe(oracle), 600, now=NOW):
        try:
            oracle.answer(question)
            used = [instant(at) for at in oracle.range(question)]
        except QuestionError:
            continue
        if question.get("tenant") or question.get("tenants") or are_dates(question):
            continue
        answer = client.post("/rows", question)
        assert answer.status_code == 200, (question, answer.text)
        assert [answer.headers[f"X-Range-{end}"] for end in ("From", "To")] == used, question
        asked += 1
    assert asked > 100
