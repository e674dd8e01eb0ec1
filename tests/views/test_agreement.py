"""Every KPI in every shape against the oracle, on random awkward records, through SQL and HTTP.

`CHATKPI_QUESTIONS` and `CHATKPI_SEED` ask more, or others: the seed is in each test's name.
"""

import os
from pathlib import Path

import pytest

from tests.agreement import Http, agrees, are_dates, ask_sql, installed, sql_can_ask
from tests.conftest import Databases
from tests.oracle import Oracle, QuestionError
from tests.oracle.random_questions import describe, questions
from tests.oracle.random_records import NOWS, tenants

SEED = int(os.environ.get("CHATKPI_SEED", "1"))
QUESTIONS = int(os.environ.get("CHATKPI_QUESTIONS", "4000"))
RUNS, TENANTS = 10, 20


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_answers_equal_the_oracle(
    seed: int, database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = NOWS[seed % len(NOWS)]
    records = tenants(seed, TENANTS, now)
    oracle = Oracle(records, now)
    url, connection = installed(database, records, tmp_path, now.isoformat())
    http = Http(url, connection, now.isoformat(), monkeypatch)
    wrong = []
    for number, question in enumerate(questions(seed, describe(oracle), QUESTIONS // RUNS, now)):
        try:
            wanted = oracle.answer(question)
        except QuestionError as error:
            wanted = "forbidden" if error.code == "forbidden" else "error"
        answers = {}
        # HTTP knows dates as midnights of a viewer, where points of several tenants stand too.
        if not are_dates(question) or question["shape"] in ("total", "distribution"):
            if number % 3:
                answers["/rows"] = http.ask(question)
            else:
                answers["/query"] = http.ask_query(question, wanted)
        # The owner, who asks through SQL, may see every tenant.
        if sql_can_ask(question) and wanted != "forbidden":
            answers["SQL"] = ask_sql(connection, question)
        for way, got in answers.items():
            if not agrees(got, wanted):
                wrong.append((way, question, got, wanted))
    assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"
