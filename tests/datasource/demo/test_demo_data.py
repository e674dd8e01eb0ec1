"""The demo data keeps to the input contract and leaves no chart of its main tenants empty."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datasource import demo

UNTIL = datetime(2026, 6, 10, 14, 7, tzinfo=UTC)
EVENTS = 60_000
ENTITIES = {
    "tenant",
    "folder",
    "experience",
    "module",
    "location",
    "department",
    "inbox",
    "channel",
    "user",
    "bot",
    "potential",
}
# Own fields that are required: a type, or the values allowed.
STEPS = {
    "opt_in": {"asked", "single", "double", "rejected", "out"},
    "pin": {"sent", "succeeded", "failed"},
    "coupon": {"uploaded", "issued", "entered"},
}
OWN: dict[str, dict[str, Any]] = {
    "message": {"from": {"contact", "bot", "user"}},
    "screen_time": {"seconds": int},
    "decision": {"option": str},
    "opt_in": {"topic": {"web_push", "reminder", "newsletter", "sms", "profiling"}},
    "share": {"via": {"facebook", "email", "native", "twitter", "whatsapp", "link"}},
    "data_entered": {"field": str},
    "door_opened": {"door": str},
    "nps": {"score": set(range(11))},
    "code_entry": {"correct": bool},
    "quiz_answer": {"question": str, "answer": str, "correct": bool},
    "points": {"points": int},
    "live_chat": {"seconds": int},
    "result": {"result_type": {"lead", "service"}},
    "field_set": {"field": str},
    "chatpoint": {"name": str},
    "bot_points": {"points": int},
    **{
        kind: {}
        for kind in (
            "chat_start",
            "click",
            "module_visit",
            "participation",
            "email_entered",
            "pin",
            "picture_upload",
            "coupon",
            "appointment",
            "contact_deleted",
            "visit",
            "routed",
            "notification",
            "bot_start",
        )
    },
}
Record = dict[str, Any]


@pytest.fixture(scope="module")
def data() -> list[Record]:
    """All records of a small data set."""
    return [json.loads(line) for line in demo.lines(EVENTS, until=UNTIL)]


@pytest.fixture(scope="module")
def events(data: list[Record]) -> dict[tuple[str, str], Record]:
    """The events by tenant and id, each once."""
    return {(r["tenant"], r["id"]): r for r in data if r["type"] in OWN}


def test_every_record_keeps_the_contract(data: list[Record]) -> None:
    """Required fields are there, of the right type, and nothing is in the future."""
    for record in data:
        kind = record["type"]
        assert kind == "tenant" or record["tenant"] in demo.tenants()
        assert record["month" if kind == "potential" else "id"]
        if kind in ENTITIES:
            continue
        assert UNTIL - timedelta(days=732) < datetime.fromisoformat(record["at"]) <= UNTIL
        wanted = OWN[kind] | ({"step": STEPS[kind]} if kind in STEPS else {})
        for field, rule in wanted.items():
            value = record[field]
            assert type(value) is rule if isinstance(rule, type) else value in rule, record
        assert record.get("seconds", 0) >= 0
        assert all(value != "" and value is not None for value in record.values()), record


def test_repeated_records_are_few_and_equal(data: list[Record], events: dict[Any, Record]) -> None:
    """The number of events is kept; a repeated one has the same content."""
    repeated = [r for r in data if r["type"] in OWN]
    assert len(events) == EVENTS
    assert EVENTS < len(repeated) < EVENTS * 1.005
    assert all(events[r["tenant"], r["id"]] == r for r in repeated)


def test_all_types_and_all_named_entities_are_there(data: list[Record]) -> None:
    """Every type of record occurs, and no event names an unknown entity."""
    assert {r["type"] for r in data} == ENTITIES | OWN.keys()
    known = {
        (r["type"], r["tenant"], r["id"])
        for r in data
        if r["type"] in ENTITIES - {"tenant", "potential"}
    }
    for record in data:
        for kind in {"experience", "module", "inbox", "channel", "user", "bot"} & record.keys():
            assert (kind, record["tenant"], record[kind]) in known


@pytest.mark.parametrize("tenant", demo.tenants()[:2])
def test_a_month_of_the_main_tenants_shows_everything(
    tenant: str, events: dict[Any, Record]
) -> None:
    """Each type of event and each of its steps lies in the last 30 days."""
    begin, end = UNTIL - timedelta(days=30), UNTIL.replace(hour=0, minute=0)
    seen = defaultdict(set)
    for record in events.values():
        if record["tenant"] == tenant and begin < datetime.fromisoformat(record["at"]) < end:
            for field in ("step", "via", "from", "result_type", "won", "correct", "topic"):
                seen[record["type"], field].add(record.get(field))
            if "points" in record:
                seen["points", "sign"].add(record["points"] > 0)
            if record["type"] == "nps":
                seen["nps", "segment"].add((record["score"] > 6) + (record["score"] > 8))
    assert {kind for kind, _ in seen} >= OWN.keys()
    for kind, steps in STEPS.items():
        assert seen[kind, "step"] == steps
    for kind, own in OWN.items():
        for field, rule in own.items():
            assert not isinstance(rule, set) or field == "score" or seen[kind, field] == rule
    assert seen["participation", "won"] == {True, False, None}
    assert seen["points", "sign"] == {True, False}
    assert seen["nps", "segment"] == {0, 1, 2}


def test_same_arguments_same_bytes() -> None:
    """The arguments decide everything."""

    def made(**other: Any) -> list[bytes]:
        return list(demo.lines(**{"events": 2000, "days": 40, "until": UNTIL, **other}))

    assert made() == made()
    assert made() != made(seed=2)


@pytest.mark.parametrize(
    "until", [UNTIL, datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)]
)
@pytest.mark.parametrize(("count", "days"), [(1, 1), (700, 1), (3000, 25)])
def test_any_size_is_kept(count: int, days: int, until: datetime) -> None:
    """One event or one day will do, at midnights and clock changes too."""
    records = map(json.loads, demo.lines(count, 3, days, until))
    found = {(r["tenant"], r["id"]): r for r in records if "at" in r}
    assert len(found) == count
    assert max(datetime.fromisoformat(str(r["at"])) for r in found.values()) <= until


def test_refusals() -> None:
    """Impossible arguments are refused."""
    for wrong in ({"events": 0}, {"days": 0}, {"until": datetime(2026, 1, 1)}):
        with pytest.raises(ValueError):
            list(demo.lines(**wrong))
