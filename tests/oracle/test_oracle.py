"""The oracle against the specification's cases, hand-made questions and invariants."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from . import Oracle, QuestionError
from .kpis import KPIS
from .random_questions import FACTORS, describe, may_meet, questions
from .random_records import NOW, tenants

HERE = Path(__file__).parent
CASES = [
    json.loads(line)
    for line in (HERE.parent / "fixtures" / "cases.ndjson").read_text("utf-8").splitlines()
]
CASES_NOW = datetime(2027, 6, 1, tzinfo=UTC)
WHOLE = {"from": "2025-08-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}


def close(got: object, wanted: object) -> bool:
    """Whether two answers are the same but for a float's last digits."""
    if isinstance(wanted, list) and isinstance(got, list):
        return len(got) == len(wanted) and all(map(close, got, wanted))
    if isinstance(wanted, dict) and isinstance(got, dict):
        return got.keys() == wanted.keys() and all(close(got[k], wanted[k]) for k in wanted)
    if isinstance(wanted, int | float) and got is not None:
        return float(got) == pytest.approx(wanted, rel=1e-9, abs=0)  # type: ignore[arg-type]
    return got == wanted


def test_there_are_all_cases() -> None:
    assert len(CASES) == 96


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{line}: {case['case']}" for line, case in enumerate(CASES, 1)]
)
def test_case(case: dict) -> None:
    oracle = Oracle(case["records"], CASES_NOW)
    if "error" in case or case["answer"] == "error":
        with pytest.raises(QuestionError):
            oracle.answer(case["question"])
        return
    answer = oracle.answer(case["question"])
    if case["question"]["shape"] == "distribution":
        assert len(answer) == 7 * 24
        answer = [cell for cell in answer if cell["value"] not in (0, None)]
    assert close(answer, case["answer"]), answer


# Hand-made questions: what the cases leave out


def _message(at: str, tenant: str = "t", **fields: object) -> dict:
    record = {"type": "message", "tenant": tenant, "id": at, "at": at, "from": "contact"}
    return {**record, "conversation": "v", **fields}


def _zone(zone: str, tenant: str = "t") -> dict:
    return {"type": "tenant", "id": tenant, "timezone": zone}


def _points(records: list[dict], now: str = "2027-06-01T00:00:00Z", **question: object) -> list:
    oracle = Oracle(records, datetime.fromisoformat(now))
    asked = {"kpi": "messages", "shape": "series", **question}
    (row,) = oracle.answer(asked)
    return [tuple(point) for point in row["points"]]


def test_half_hour_of_lord_howe() -> None:
    records = [_zone("Australia/Lord_Howe"), _message("2026-04-04T15:10:00Z")]
    asked = {"from": "2026-04-04T14:00:00Z", "to": "2026-04-04T16:30:00Z", "interval": "hour"}
    assert _points(records, **asked) == [
        ("2026-04-04T14:00:00Z", 0),
        ("2026-04-04T15:00:00Z", 1),
        ("2026-04-04T15:30:00Z", 0),
    ]


def test_day_without_midnight() -> None:
    # Havana's 8 March 2026 begins at one o'clock and has 23 hours.
    records = [_zone("America/Havana"), _message("2026-03-08T04:59:59.999999Z")]
    asked = {"from": "2026-03-07T05:00:00Z", "to": "2026-03-09T04:00:00Z", "granularity": "day"}
    assert _points(records, **asked, interval="day") == [
        ("2026-03-07T05:00:00Z", 1),
        ("2026-03-08T05:00:00Z", 0),
    ]


def test_dates_are_meant() -> None:
    # The viewer's 2 March in Amsterdam, its end a millisecond early, is Auckland's 2 March.
    inside = ("2026-03-01T11:00:00Z", "2026-03-02T10:59:59.999999Z")
    outside = ("2026-03-01T10:59:59.999999Z", "2026-03-02T11:00:00Z")
    records = [_zone("Pacific/Auckland"), *map(_message, inside + outside)]
    asked = {"from": "2026-03-01T23:00:00Z", "to": "2026-03-02T22:59:59.999Z"}
    viewer = {"timezone": "Europe/Amsterdam"}
    assert _points(records, **asked, **viewer, interval="day") == [("2026-03-01T11:00:00Z", 2)]
    assert sum(value for _, value in _points(records, **asked, interval="day")) == 2
    oracle = Oracle(records, CASES_NOW)
    used = oracle.range({"kpi": "messages", **asked, **viewer})
    assert used == (
        datetime(2026, 3, 1, 11, tzinfo=UTC),
        datetime(2026, 3, 2, 11, tzinfo=UTC),
    )


def test_tenants_meet_by_date() -> None:
    records = [_zone("Pacific/Auckland", "a"), _zone("America/New_York", "b")]
    records += [_message("2026-03-01T12:00:00Z", "a"), _message("2026-03-03T04:00:00Z", "b")]
    asked = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z", "granularity": "day"}
    # Auckland has its 2nd and 3rd in it, New York its 1st and 2nd.
    assert _points(records, **asked, interval="day") == [
        ("2026-03-01T00:00:00Z", 0),
        ("2026-03-02T00:00:00Z", 2),
        ("2026-03-03T00:00:00Z", 0),
    ]


def test_hours_of_tenants_meet_by_instant() -> None:
    at = "2026-03-02T00:10:00Z"
    records = [_zone("Pacific/Auckland", "a"), _zone("America/New_York", "b")]
    records += [_zone("Asia/Kolkata", "k")]
    records += [_message(at, "a"), _message(at, "b"), _message(at, "k")]
    asked: dict[str, Any] = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-02T02:00:00Z"}
    assert _points(records, **asked, filters={"tenant": ["a", "b"]}) == [
        ("2026-03-02T00:00:00Z", 2),
        ("2026-03-02T01:00:00Z", 0),
    ]
    with pytest.raises(QuestionError) as refused:
        _points(records, **asked)
    assert refused.value.code == "zones_differ"
    oracle = Oracle(records, CASES_NOW)
    hours = oracle.answer({"kpi": "messages", "shape": "series", "by": ["tenant"], **asked})
    assert {row["dims"]["tenant"]: row["points"] for row in hours} == {
        "a": [["2026-03-02T00:00:00Z", 1], ["2026-03-02T01:00:00Z", 0]],
        "b": [["2026-03-02T00:00:00Z", 1], ["2026-03-02T01:00:00Z", 0]],
        "k": [
            ["2026-03-01T23:30:00Z", 1],
            ["2026-03-02T00:30:00Z", 0],
            ["2026-03-02T01:30:00Z", 0],
        ],
    }


def test_cut_at_now() -> None:
    now = "2026-03-02T10:20:00Z"
    records = [_message("2026-03-02T10:50:00Z"), _message("2026-03-02T11:00:00Z")]
    day = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}
    points = _points(records, now, **day)
    assert (len(points), points[-1]) == (11, ("2026-03-02T10:00:00Z", 1))
    assert _points(records, now, **day, granularity="day", interval="day")[0][1] == 2
    later = {"from": "2026-03-02T11:00:00Z", "to": "2026-03-03T00:00:00Z"}
    assert _points(records, now, **later) == []
    empty = Oracle(records, datetime.fromisoformat(now)).range({"kpi": "messages", **later})
    assert empty[0] == empty[1] == datetime(2026, 3, 2, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ('["a","b"]', ["a", "b"]),
        (['["a","b"]'], ["a", "b"]),
        ("(a|b)", ["a", "b"]),
        (r"(a\|b|c\\)", ["a|b", "c\\"]),
        ("{a,b}", ["a", "b"]),
        ('["a"', ['["a"']),
        (["(a|b)", "c"], ["(a|b)", "c"]),
        ({"op": "=", "values": ["*"]}, ["*"]),
        ({"op": "!=", "values": []}, None),
        (["a", "*"], None),
        ("$__all", None),
        ([], None),
        (7.0, ["7"]),
    ],
)
def test_filter_spellings(raw: object, values: list[str] | None) -> None:
    from .question import read_filter

    assert read_filter(raw)[1] == values


# Random records and questions


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle(tenants(11, 6), NOW)


def _total(oracle: Oracle, kpi: str, tenant: str, **question: object) -> dict[str, Any]:
    asked = {"kpi": kpi, "shape": "total", "tenant": tenant, **WHOLE, **question}
    return {str(row.get("dims")): row["value"] for row in oracle.answer(asked)}


def test_bounces_and_conversations_are_the_sessions(oracle: Oracle) -> None:
    for tenant in oracle.world:
        for by in ([], ["experience"], ["folder", "device"]):
            sessions = _total(oracle, "sessions", tenant, by=by)
            bounced = _total(oracle, "bounces", tenant, by=by)
            answered = _total(oracle, "sessions_with_conversation", tenant, by=by)
            assert sessions
            for group, value in sessions.items():
                assert value == bounced.get(group, 0) + answered.get(group, 0)


def test_phases_never_increase(oracle: Oracle) -> None:
    for tenant in oracle.world:
        phases = [
            _total(oracle, f"after_sales_{phase}", tenant, by=["channel"])
            for phase in ("invited", "joined", "engaged")
        ]
        for before, after in pairwise(phases):
            for group, value in after.items():
                assert value <= before[group]


@pytest.mark.parametrize("kpi", KPIS)
def test_cumulative_ends_at_the_total(oracle: Oracle, kpi: str) -> None:
    for by in ([], list(KPIS[kpi].dims[:2])):
        asked = {"kpi": kpi, "by": by, **WHOLE, "interval": "week", "timezone": "UTC"}
        totals = oracle.answer({**asked, "shape": "total"})
        rows = oracle.answer({**asked, "shape": "cumulative"})
        assert [row["points"][-1][1] for row in rows] == [row["value"] for row in totals]
        assert [row.get("dims") for row in rows] == [row.get("dims") for row in totals]
        if KPIS[kpi].how in ("count", "sum"):
            series = oracle.answer({**asked, "shape": "series"})
            sums = [sum(value for _, value in row["points"]) for row in series]
            assert sums == [row["value"] for row in totals]
            assert (
                by == []
                or sum(sums) == oracle.answer({**asked, "by": [], "shape": "total"})[0]["value"]
            )


def test_load_order_of_events_is_nothing() -> None:
    records = tenants(5, 2)
    events = [record for record in records if "at" in record]
    others = [record for record in records if "at" not in record]
    turned = Oracle([*reversed(events), *others], NOW)
    straight = Oracle(records, NOW)
    for kpi in KPIS:
        asked = {"kpi": kpi, "shape": "total", "by": ["tenant", *KPIS[kpi].dims[:2]], **WHOLE}
        assert turned.answer(asked) == straight.answer(asked)


def test_records_keep_the_contract() -> None:
    records = tenants(3, 8)
    assert len(records) > 8 * 150
    contents: dict[tuple[str, str], dict] = {}
    for record in records:
        assert record["type"] == "tenant" or record["tenant"]
        if "at" in record:
            # A repeated event repeats its content.
            key = (record["tenant"], str(record["id"]))
            assert contents.setdefault(key, record) == record
    assert {record["type"] for record in records if "at" in record} >= {"visit", "notification"}


def test_every_kpi_counts_something(oracle: Oracle) -> None:
    for kpi in KPIS:
        values = [_total(oracle, kpi, tenant)["None"] for tenant in oracle.world]
        assert any(values), kpi


def test_questions_cover_and_are_mostly_good(oracle: Oracle) -> None:
    asked = questions(1, describe(oracle), 3000)
    assert len(asked) == 3000
    shapes = {(question["kpi"], question["shape"]) for question in asked}
    dims = {(question["kpi"], dim) for question in asked for dim in question.get("by", ())}
    for kpi in KPIS:
        for shape in FACTORS["shape"]:
            assert (kpi, shape) in shapes or not may_meet({"kpi": kpi, "shape": shape})
        assert all((kpi, dim) in dims for dim in (*KPIS[kpi].dims, "tenant"))
    refused = telling = 0
    for question in asked:
        try:
            rows = oracle.answer(question)
            telling += any(row.get("value") or row.get("points") for row in rows)
        except QuestionError:
            refused += 1
    assert 0.01 * 3000 < refused < 0.06 * 3000
    assert telling > 0.6 * 3000


def _fingerprint() -> str:
    records = tenants(2, 2)
    asked = questions(2, describe(Oracle(records, NOW)), 300)
    return hashlib.sha256(json.dumps([records, asked]).encode()).hexdigest()


def test_the_same_seed_gives_the_same() -> None:
    # In another process strings hash otherwise: what went through a set would show.
    package = __package__ or "oracle"
    root = HERE.parents[package.count(".")]
    code = f"from {package}.test_oracle import _fingerprint; print(_fingerprint())"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == _fingerprint()
    assert tenants(2, 2) != tenants(3, 2)
