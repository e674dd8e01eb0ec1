"""The specification's worked cases, and the ranges that answers say they use, through HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.agreement import Http, agrees, installed, instant
from tests.conftest import Databases
from tests.datasource.protocol.client import NOW as CASES_NOW
from tests.datasource.protocol.client import served
from tests.oracle import Oracle, QuestionError
from tests.oracle.random_questions import describe, questions
from tests.oracle.random_records import NOW, tenants
from tests.views.test_cases import CASES


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
        if question.get("tenant") or question.get("tenants"):
            continue
        answer = client.post("/rows", question)
        assert answer.status_code == 200, (question, answer.text)
        assert [answer.headers[f"X-Range-{end}"] for end in ("From", "To")] == used, question
        asked += 1
    assert asked > 100
