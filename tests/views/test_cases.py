"""The specification's worked cases, through SQL."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.agreement import agrees, ask_sql, installed, sql_can_ask
from tests.conftest import Databases

LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures" / "cases.ndjson")
    .read_text("utf-8")
    .splitlines()
]
# Neighbouring cases share their records, and so a database.
CASES = [
    (key, list(lines)) for key, lines in groupby(LINES, lambda line: json.dumps(line["records"]))
]


def test_all_cases_are_there() -> None:
    assert len(LINES) == 96


@pytest.mark.parametrize(
    "records, lines",
    CASES,
    ids=[f"{lines[0]['rule'][:40]} {i}" for i, (_, lines) in enumerate(CASES)],
)
def test_case(
    records: str, lines: list[dict[str, Any]], database: Databases, tmp_path: Path
) -> None:
    _, connection = installed(database, json.loads(records), tmp_path, "2027-06-01T00:00:00Z")
    for line in lines:
        if not sql_can_ask(line["question"]):
            continue
        got = ask_sql(connection, line["question"])
        if line["question"]["shape"] == "distribution" and isinstance(got, list):
            got = [cell for cell in got if cell["value"]]
        wanted = line.get("answer", "error")
        assert agrees(got, wanted), (line["case"], got, wanted)
