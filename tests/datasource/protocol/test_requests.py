"""Requests that others' products answer wrongly, each with the right answer.

A line of requests.ndjson: what it is about (`report`, `case`), `now`, the `records` that were
loaded, the `request` (method, path, body), and its `answer`: rows, the text of a file, or a
status.
"""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.agreement import installed
from tests.conftest import Databases
from tests.datasource.protocol.client import Client

LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "fixtures" / "requests.ndjson")
    .read_text("utf-8")
    .splitlines()
]
# Neighbouring requests share their records, and so a database.
WORLDS = [
    (key, list(lines)) for key, lines in groupby(LINES, lambda line: json.dumps(line["records"]))
]


@pytest.mark.parametrize(
    "records, lines", WORLDS, ids=[lines[0]["report"].replace(" ", "_") for _, lines in WORLDS]
)
def test_a_request_is_answered_right(
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
        answer = client.post(path, body) if method == "POST" else client.get(path)
        wanted = line["answer"]
        if isinstance(wanted, int):
            assert answer.status_code == wanted, (line["case"], answer.text)
        elif isinstance(wanted, str):
            assert answer.text.replace("\r\n", "\n") == wanted, line["case"]
        else:
            assert answer.json == wanted, (line["case"], answer.text)
