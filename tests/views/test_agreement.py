"""Every KPI in every shape against the oracle, on random awkward records, through SQL.

`CHATKPI_QUESTIONS` and `CHATKPI_SEED` ask more, or others: the seed is in each test's name.
"""

import os
from pathlib import Path

import pytest

from tests.agreement import agrees, ask_sql, installed
from tests.conftest import Databases
from tests.oracle import Oracle, QuestionError
from tests.oracle.random_questions import describe, questions
from tests.oracle.random_records import NOW, tenants

SEED = int(os.environ.get("CHATKPI_SEED", "1"))
QUESTIONS = int(os.environ.get("CHATKPI_QUESTIONS", "20000"))
RUNS, TENANTS = 10, 20


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_sql_equals_the_oracle(seed: int, database: Databases, tmp_path: Path) -> None:
    records = tenants(seed, TENANTS)
    oracle = Oracle(records, NOW)
    _, connection = installed(database, records, tmp_path, NOW.isoformat())
    wrong = []
    for question in questions(seed, describe(oracle), QUESTIONS // RUNS, now=NOW):
        if question.get("shape") == "distribution":
            # The function has no interval and no granularity; HTTP, which has, refuses bad ones.
            question = {k: v for k, v in question.items() if k not in ("interval", "granularity")}
        try:
            wanted = oracle.answer(question)
        except QuestionError as error:
            if error.code == "forbidden":  # the owner may ask for every tenant
                continue
            wanted = "error"
        got = ask_sql(connection, question)
        if not agrees(got, wanted):
            wrong.append((question, got, wanted))
    assert not wrong, (len(wrong), wrong[0])
