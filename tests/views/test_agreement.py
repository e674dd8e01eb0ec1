"""Every KPI in every shape against the oracle, on random awkward records, through SQL and HTTP.

`CHATKPI_QUESTIONS` and `CHATKPI_SEED` ask more, or others: the seed is in each test's name.
"""

import os
from pathlib import Path

import pytest

from tests.agreement import Http, agrees, ask_sql, installed
from tests.conftest import Databases
from tests.oracle import Oracle, QuestionError
from tests.oracle.random_questions import describe, questions
from tests.oracle.random_records import NOW, tenants

SEED = int(os.environ.get("CHATKPI_SEED", "1"))
QUESTIONS = int(os.environ.get("CHATKPI_QUESTIONS", "20000"))
RUNS, TENANTS = 10, 20


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_answers_equal_the_oracle(
    seed: int, database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = tenants(seed, TENANTS)
    oracle = Oracle(records, NOW)
    url, connection = installed(database, records, tmp_path, NOW.isoformat())
    http = Http(url, connection, NOW.isoformat(), monkeypatch)
    wrong = []
    for question in questions(seed, describe(oracle), QUESTIONS // RUNS, now=NOW):
        try:
            wanted = oracle.answer(question)
        except QuestionError as error:
            wanted = "forbidden" if error.code == "forbidden" else "error"
        got = http.ask(question)
        if not agrees(got, wanted):
            wrong.append(("HTTP", question, got, wanted))
        if wanted == "forbidden":  # the owner, who asks through SQL, may see every tenant
            continue
        by_http_only = question.get("shape") == "distribution" and question.keys() & {
            "interval",
            "granularity",
        }
        if by_http_only and wanted == "error":  # the function has neither to refuse
            continue
        got = ask_sql(connection, question)
        if not agrees(got, wanted):
            wrong.append(("SQL", question, got, wanted))
    assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"
