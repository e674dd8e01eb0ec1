"""Whole hours, days, weeks and months before now, by the oracle and by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from . import Oracle, QuestionError

MONDAY = datetime(2026, 3, 30, 10, tzinfo=UTC)


def used(last: str, now: str, zone: str = "Europe/Amsterdam", **fields: object) -> list[str]:
    """The range that `last` means at an instant."""
    oracle = Oracle([{"type": "tenant", "id": "t", "timezone": zone}], datetime.fromisoformat(now))
    ends = oracle.range({"kpi": "messages", "last": last, **fields})
    return [f"{end.astimezone(UTC):%m-%dT%H:%M}" for end in ends]


@pytest.mark.parametrize(
    ("last", "now", "wanted"),
    [
        ("1 hour", "2026-11-20T12:00:00Z", ["11-20T11:00", "11-20T12:00"]),
        ("1 hour", "2026-11-20T12:59:59.999999Z", ["11-20T11:00", "11-20T12:00"]),
        ("24 hours", "2026-11-20T12:30:00Z", ["11-19T12:00", "11-20T12:00"]),
        ("1 day", "2026-11-20T12:30:00Z", ["11-18T23:00", "11-19T23:00"]),
        ("1 day", "2026-11-20T23:00:00Z", ["11-19T23:00", "11-20T23:00"]),
        ("7 days", "2026-11-20T12:30:00Z", ["11-12T23:00", "11-19T23:00"]),
        ("1 day", "2026-10-26T12:30:00Z", ["10-24T22:00", "10-25T23:00"]),
        ("3 hours", "2026-10-25T02:30:00Z", ["10-24T23:00", "10-25T02:00"]),
        ("2 hours", "2026-03-29T02:30:00Z", ["03-29T00:00", "03-29T02:00"]),
        # The 20th is a Friday: the week before began on Monday, the 9th.
        ("1 week", "2026-11-20T12:30:00Z", ["11-08T23:00", "11-15T23:00"]),
        ("1 week", "2026-11-16T00:00:00+01:00", ["11-08T23:00", "11-15T23:00"]),
        ("4 weeks", "2026-11-20T12:30:00Z", ["10-18T22:00", "11-15T23:00"]),
        ("1 month", "2026-11-20T12:30:00Z", ["09-30T22:00", "10-31T23:00"]),
        ("3 months", "2026-11-01T00:00:00+01:00", ["07-31T22:00", "10-31T23:00"]),
    ],
)
def test_whole_ones_before_now(last: str, now: str, wanted: list[str]) -> None:
    assert used(last, now) == wanted


def test_half_hours() -> None:
    kolkata = used("1 hour", "2026-11-20T12:29:00Z", "Asia/Kolkata")
    assert kolkata == ["11-20T10:30", "11-20T11:30"]
    # The half-hour that Lord Howe repeats is an hour of its own.
    repeated = used("1 hour", "2026-04-04T15:30:00Z", "Australia/Lord_Howe")
    assert repeated == ["04-04T15:00", "04-04T15:30"]


def test_each_tenant_has_its_own() -> None:
    zones = {"a": "Pacific/Auckland", "n": "America/New_York"}
    records = [{"type": "tenant", "id": name, "timezone": zone} for name, zone in zones.items()]
    for name, at in (("a", "2026-11-18T11:00:00Z"), ("n", "2026-11-20T04:59:59Z")):
        event = {"type": "message", "tenant": name, "id": "1", "at": at, "from": "contact"}
        records.append({**event, "conversation": "v"})
    oracle = Oracle(records, datetime(2026, 11, 20, 5, 30, tzinfo=UTC))
    # In Auckland it is the 20th already, in New York just so: both had a 19th, at other times.
    asked = {"kpi": "messages", "last": "1 day", "shape": "total", "by": ["tenant"]}
    assert oracle.answer(asked) == [
        {"dims": {"tenant": "a"}, "value": 1},
        {"dims": {"tenant": "n"}, "value": 1},
    ]
    first, last = oracle.range(asked)
    assert (first.isoformat(), last.isoformat()) == (
        "2026-11-18T11:00:00+00:00",
        "2026-11-20T05:00:00+00:00",
    )


def test_viewer_and_now_do_not_matter() -> None:
    now = "2026-11-20T12:30:00Z"
    assert used("1 day", now, timezone="Asia/Kolkata") == used("1 day", now)
    assert used("40 days", now, kpi="mecs") == ["09-30T22:00", "11-30T23:00"]


def test_buckets_are_picked_by_elapsed_time() -> None:
    oracle = Oracle([{"type": "tenant", "id": "t", "timezone": "Europe/Amsterdam"}], MONDAY)

    def points(**fields: object) -> int:
        (row,) = oracle.answer({"kpi": "messages", "shape": "series", **fields})
        return len(row["points"])

    # The 27th to the 29th of March have 71 hours, those before 72.
    assert points(last="3 days") == points(**{"from": "2026-03-27", "to": "2026-03-30"}) == 71
    assert points(**{"from": "2026-03-26", "to": "2026-03-29"}) == 3
    assert points(last="24 hours") == 24
    assert points(last="4 weeks") == 28
    assert points(last="4 weeks", interval="week") == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"last": "0 days"},
        {"last": "day"},
        {"last": "1.5 days"},
        {"last": "1 day", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"},
        {"last": "1 day", "to": "2026-01-02T00:00:00Z"},
        {"last": "361 hours"},
        {"last": "101 days", "interval": "hour"},
    ],
)
def test_refused(fields: dict) -> None:
    with pytest.raises(QuestionError):
        Oracle([], datetime(2026, 11, 20, tzinfo=UTC)).answer({"kpi": "messages", **fields})
