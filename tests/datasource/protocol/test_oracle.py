"""What only HTTP answers, against the oracle: several KPIs side by side, the list `range`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.agreement import Http, agrees, are_dates, instant
from tests.conftest import Databases
from tests.datasource.protocol.client import served
from tests.oracle import Oracle, QuestionError
from tests.oracle.kpis import KPIS
from tests.oracle.random_questions import describe, questions
from tests.oracle.random_records import NOWS, tenants

NOW = NOWS[2]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def side_by_side(oracle: Oracle, question: dict[str, Any], kpis: list[str]) -> list[dict[str, Any]]:
    """The totals of several KPIs, joined on their groups; what one lacks is 0 or null."""
    columns = {}
    for kpi in kpis:
        rows = oracle.answer({**question, "kpi": kpi})
        columns[kpi] = {tuple(row.get("dims", {}).values()): row["value"] for row in rows}
    groups = sorted({group for column in columns.values() for group in column})
    by = list(dict.fromkeys(question.get("by", ())))
    found = []
    for group in groups:
        row: dict[str, Any] = {"dims": dict(zip(by, group, strict=True))}
        for kpi, column in columns.items():
            nothing = 0 if KPIS[kpi].how in ("count", "sum", "distinct") else None
            row[kpi] = column.get(group, nothing)
        found.append(row)
    return found


def test_several_kpis_side_by_side(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = Oracle(records := tenants(7, 6, NOW), NOW)
    client = served(database, records, tmp_path, monkeypatch, NOW.isoformat())
    asked = 0
    for number, question in enumerate(questions(7, describe(oracle), 900, NOW)):
        if question.get("shape") != "total" or question.get("compare") or are_dates(question):
            continue
        if question.get("tenant") or question.get("tenants"):
            continue
        dims = {*question.get("by", ()), *question.get("filters", ())} - {"tenant"}
        others = [kpi for kpi in KPIS if dims <= set(KPIS[kpi].dims)]
        kpis = sorted(
            {question["kpi"], others[number % len(others)], others[number // 2 % len(others)]}
        )
        if question["kpi"] not in others:
            continue
        try:
            wanted = side_by_side(oracle, question, kpis)
        except QuestionError:
            continue
        fields = {name: value for name, value in question.items() if name != "kpi"}
        answer = client.post("/rows", {**fields, "kpis": kpis})
        assert answer.status_code == 200, (fields, kpis, answer.text)
        by = list(dict.fromkeys(question.get("by", ())))
        got = [
            {"dims": {dim: row[dim] for dim in by}, **{kpi: row[kpi] for kpi in kpis}}
            for row in answer.get_json()
        ]
        assert agrees(got, wanted), (fields, kpis, got, wanted)
        ranges = [oracle.range({**question, "kpi": kpi}) for kpi in kpis]
        widest = (min(start for start, _ in ranges), max(end for _, end in ranges))
        used = [answer.headers[f"X-Range-{end}"] for end in ("From", "To")]
        assert used == [instant(at) for at in widest], (fields, kpis)
        asked += 1
    assert asked > 10


def test_range_is_that_of_the_readers_tenants_until_now(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = Oracle(records := tenants(8, 4, NOW), NOW)
    client = served(database, records, tmp_path, monkeypatch, NOW.isoformat())
    future = 0
    for names in ([], *([name] for name in oracle.world), [*oracle.world][:2]):
        first, last = oracle.known_times(names or oracle.world)
        assert first is not None and last is not None
        (row,) = client.post("/rows", {"list": "range"}, headers=client.token(names or None)).json
        milliseconds = [(at - EPOCH) // timedelta(milliseconds=1) for at in (first, last, NOW)]
        assert [row["first"], row["last"], row["now"]] == milliseconds, names
        events = [event for name in names for event in oracle.tenant(name).events]
        future += any(event.at > NOW for event in events)
    assert future


def test_tenants_whose_ranges_end_apart(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Now is 31 March in America and 1 April in Auckland. What is cumulated goes on for a tenant
    # whose range has ended, and series stand in the order of their groups' ids.
    oracle = Oracle(records := tenants(2, 6, NOW), NOW)
    client = served(database, records, tmp_path, monkeypatch, NOW.isoformat())
    http = Http(client.url, client.connection, NOW.isoformat(), monkeypatch)
    three_days = {"from": "2026-03-30T00:00:00Z", "to": "2026-04-02T00:00:00Z", "timezone": "UTC"}
    hours = {"kpi": "messages", "interval": "hour", "compare": "usual", **three_days}
    months = {"kpi": "mecs_potential", "last": "3 months", "compare": "previous"}
    asked = [
        {**hours, "shape": "cumulative"},
        {**hours, "shape": "cumulative", "interval": "day"},
        {**hours, "shape": "cumulative", "by": ["channel", "tenant"]},
        {**hours, "shape": "series", "by": ["inbox", "tenant"]},
        {**months, "shape": "cumulative"},
        {**months, "shape": "cumulative", "by": ["tenant"]},
        {**months, "shape": "series", "kpi": "users_potential"},
    ]
    for question in asked:
        wanted = oracle.answer(question)
        assert agrees(http.ask(question), wanted), question
        assert agrees(http.ask_query(question, wanted), wanted), question
