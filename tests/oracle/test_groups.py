"""Groups that may have nothing, dates and fields, by the oracle and by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from . import Oracle, QuestionError

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
MONTH = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-30T00:00:00Z", "shape": "total"}


def start(experience: str, tenant: str = "a", **fields: object) -> dict:
    """A chat start in an experience."""
    event = {"type": "chat_start", "tenant": tenant, "id": f"{experience} {fields}"}
    return {**event, "at": "2026-11-19T10:00:00Z", "experience": experience, **fields}


def entity(kind: str, entity_id: str, tenant: str = "a", **fields: object) -> dict:
    """An entity's record."""
    return {"type": kind, "tenant": tenant, "id": entity_id, **fields}


RECORDS = [
    entity("experience", "x", folder="f"),
    entity("experience", "y", folder="g"),
    entity("experience", "z", tenant="b"),
    entity("user", "u"),
    entity("user", "gone", active=False),
    start("x"),
    start("unknown"),
]


def groups(records: list[dict], kpi: str, *by: str, **fields: object) -> list[tuple[Any, ...]]:
    """Each group with its value."""
    asked = {"kpi": kpi, "by": list(by), "all_groups": True, **MONTH, **fields}
    return [
        (*row["dims"].values(), *(row[name] for name in ("value", "previous") if name in row))
        for row in Oracle(records, NOW).answer(asked)
    ]


def test_every_active_entity_is_listed() -> None:
    assert groups(RECORDS, "chat_starts", "experience") == [
        ("unknown", 1),
        ("x", 1),
        ("y", 0),
        ("z", 0),
    ]
    assert groups(RECORDS, "chat_starts", "experience", "tenant") == [
        ("unknown", "a", 1),
        ("x", "a", 1),
        ("y", "a", 0),
        ("z", "b", 0),
    ]
    assert groups(RECORDS, "chat_starts", "tenant") == [("a", 2), ("b", 0)]
    assert groups(RECORDS, "chat_starts", "tenant", tenants=["a", "new"]) == [("a", 2), ("new", 0)]
    assert groups(RECORDS, "bounce_rate", "tenant") == [("a", None), ("b", None)]
    compared = groups(RECORDS, "chat_starts", "experience", compare="previous")
    assert compared == [("unknown", 1, 0), ("x", 1, 0), ("y", 0, 0), ("z", 0, 0)]


def test_what_is_not_active_is_listed_when_it_has_something() -> None:
    assert groups(RECORDS, "user_messages", "user") == [("u", 0)]
    message = {"type": "message", "tenant": "a", "id": "m", "at": "2026-11-19T10:00:00Z"}
    message.update({"from": "user", "user": "gone", "conversation": "v"})
    assert groups([*RECORDS, message], "user_messages", "user") == [("gone", 1), ("u", 0)]


def test_filters_hold_for_all_groups() -> None:
    asked: dict[str, Any] = {"filters": {"experience": ["y", "z"]}}
    assert groups(RECORDS, "chat_starts", "experience", **asked) == [("y", 0), ("z", 0)]
    asked = {"filters": {"folder": "g"}}
    assert groups(RECORDS, "chat_starts", "experience", **asked) == [("y", 0)]
    # A device says nothing of which experiences there are.
    asked = {"filters": {"device": "mobile"}}
    assert groups(RECORDS, "chat_starts", "experience", **asked) == [("x", 0), ("y", 0), ("z", 0)]


def test_every_bucket_of_a_group_without_anything() -> None:
    oracle = Oracle(RECORDS, NOW)
    asked = {"kpi": "chat_starts", "by": ["experience"], "all_groups": True, "shape": "cumulative"}
    hours = {"from": "2026-11-19T09:00:00Z", "to": "2026-11-19T11:00:00Z"}
    rows = oracle.answer({**asked, **hours, "filters": {"experience": ["y"]}})
    assert [row["points"] for row in rows] == [
        [["2026-11-19T09:00:00Z", 0], ["2026-11-19T10:00:00Z", 0]]
    ]


@pytest.mark.parametrize("by", [[], ["device"], ["experience", "folder"], ["tenant", "device"]])
def test_all_groups_of_what_is_no_entity(by: list[str]) -> None:
    with pytest.raises(QuestionError):
        groups(RECORDS, "chat_starts", *by)


def test_dates_are_the_tenants_own() -> None:
    zone = {"type": "tenant", "id": "a", "timezone": "Pacific/Auckland"}
    oracle = Oracle([zone, *RECORDS], NOW)
    asked = {"kpi": "chat_starts", "shape": "total", "tenant": "a"}
    # Ten o'clock in UTC is eleven at night there.
    dates = {"from": "2026-11-19", "to": "2026-11-20"}
    assert oracle.answer({**asked, **dates}) == [{"value": 2}]
    assert oracle.range({**asked, **dates})[0] == datetime(2026, 11, 18, 11, tzinfo=UTC)
    assert oracle.range({**asked, **dates, "kpi": "mecs"})[0] == datetime(
        2026, 10, 31, 11, tzinfo=UTC
    )
    with pytest.raises(QuestionError):
        oracle.answer({**asked, "from": "2026-11-20", "to": "2026-11-20"})


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(QuestionError) as refused:
        Oracle(RECORDS, NOW).answer({"kpi": "chat_starts", **MONTH, "filter": {"tenant": "a"}})
    assert refused.value.code == "unknown_field"
