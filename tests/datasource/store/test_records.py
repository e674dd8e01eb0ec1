"""The input contract, one line per way to keep or break it."""

import json
import re
from datetime import datetime

import pytest

from datasource.store import records
from datasource.store.checks import BadRecord, instant
from datasource.store.contract import COLUMNS, ENTITIES, EVENTS
from datasource.store.record_type import EVENT, RecordType
from datasource.store.records import NULL, Record, copied, parse

EVENT_START = {"type": "click", "tenant": "t", "id": "e", "at": "2026-03-01T10:00:00Z"}


def event(**fields: object) -> bytes:
    return json.dumps(EVENT_START | fields).encode()


def entity(**fields: object) -> bytes:
    return json.dumps({"tenant": "t", "id": "x"} | fields).encode()


def values(record: Record) -> dict[str, str | None]:
    """Columns of a record, those without a value as None."""
    texts = (None if value is NULL else value for value in record.values)
    return dict(zip(COLUMNS[record.table], texts, strict=True))


def copied_back(record: Record) -> list[str | None]:
    """Values as they come out of a line of COPY's text format."""
    escapes = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}

    def read(text: str) -> str | None:
        if text == NULL:
            return None
        return re.sub(r"\\.", lambda found: escapes[found[0]], text)

    return [read(text) for text in copied(record.values).split("\t")]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
def test_every_event_type_is_taken_and_needs_its_own_fields(kind: RecordType) -> None:
    own = {name: kind.example[name] for name in kind.required if name in kind.example}
    assert parse(event(type=kind.name, **own)).table == EVENT
    for name in own:
        for bad in (None, ""):
            with pytest.raises(BadRecord, match=f"^{name}: empty"):
                parse(event(type=kind.name, **(own | {name: bad})))
        rest = {other: value for other, value in own.items() if other != name}
        with pytest.raises(BadRecord, match=f"^{name}: missing"):
            parse(event(type=kind.name, **rest))
        with pytest.raises(BadRecord, match=f"^{name}: "):
            parse(event(type=kind.name, **(own | {name: ["list"]})))


@pytest.mark.parametrize("kind", ENTITIES, ids=lambda kind: kind.name)
def test_every_entity_type_needs_its_id_only(kind: RecordType) -> None:
    assert parse(entity(type=kind.name, month="2026-03")).table == kind.name
    key = kind.identity[-1]
    with pytest.raises(BadRecord, match=f"^{key}: empty"):
        parse(entity(type=kind.name, **{key: ""}))


BAD_LINES = {
    "not JSON": b"{",
    "not JSON: NaN": b'{"type": NaN}',
    "not JSON: UTF-8": b'{"type": "\xff"}',
    "no object": b"[]",
    "no type": b'{"tenant": "t", "id": "x"}',
    "type is a number": entity(type=1),
    "type is a list": entity(type=[]),
    "no such type": entity(type="thing"),
    "no tenant": b'{"type": "folder", "id": "x"}',
    "tenant is empty": entity(type="folder", tenant=""),
    "tenant is null": entity(type="folder", tenant=None),
    "tenant is a boolean": entity(type="folder", tenant=True),
    "no id": b'{"type": "folder", "tenant": "t"}',
    "a tenant without an id": b'{"type": "tenant", "tenant": "t"}',
    "id of 1,001 characters": event(id="x" * 1001),
    "dimension of 1,001 characters": event(contact="x" * 1001),
    "dimension is a boolean": event(contact=False),
    "dimension is an object": event(bot={}),
    "device is not one of three": event(device="watch"),
    "device is a number": event(device=1),
    "NUL in an id": event(id="a\0b"),
    "NUL in an extra field": event(extra_field={"deep": ["a\0b"]}),
    "NUL in an extra name": event(**{"a\0b": 1}),
    "NUL raw": b'{"type": "click\0"}',
    "lone surrogate": b'{"type": "folder", "tenant": "t", "id": "\\ud800"}',
    "number beyond a double": b'{"type": "folder", "tenant": "t", "id": "x", "extra": 1e400}',
    "integer beyond a double": b'{"type": "folder", "tenant": "t", "id": ' + b"9" * 400 + b"}",
    "nested too deep": b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "nested a little too deep": event()[:-1] + b', "x": ' + b"[" * 1010 + b"]" * 1010 + b"}",
    "at is missing": b'{"type": "click", "tenant": "t", "id": "e"}',
    "at is a number": event(at=1772359200),
    "at without an offset": event(at="2026-03-01T10:00:00"),
    "at with a space": event(at="2026-03-01 10:00:00Z"),
    "at without seconds": event(at="2026-03-01T10:00Z"),
    "at with a bare point": event(at="2026-03-01T10:00:00.Z"),
    "at with a comma": event(at="2026-03-01T10:00:00,5Z"),
    "at in basic form": event(at="20260301T100000Z"),
    "at as a week": event(at="2026-W09-7T10:00:00Z"),
    "at with a short offset": event(at="2026-03-01T10:00:00+01"),
    "at with an offset of 24 hours": event(at="2026-03-01T10:00:00+24:00"),
    "at with :60": event(at="2026-12-31T23:59:60Z"),
    "at with 24:00": event(at="2026-03-01T24:00:00Z"),
    "at on no day": event(at="2026-02-29T10:00:00Z"),
    "at in other digits": event(at="२०२६-03-01T10:00:00Z"),
    "at with a line break": event(at="2026-03-01T10:00:00Z\n"),
    "at before 2000": event(at="1999-12-31T23:59:59Z"),
    "at before 2000 in UTC": event(at="2000-01-01T00:30:00+01:00"),
    "at after 2100": event(at="2101-01-01T00:00:00Z"),
    "at after 2100 in UTC": event(at="2100-12-31T23:30:00-01:00"),
    "seconds below 0": event(type="screen_time", seconds=-0.1),
    "seconds of 101 digits": event(type="screen_time", seconds=1e100),
    "points of 101 digits": event(type="points", points=-(10**100)),
    "seconds is a text": event(type="screen_time", seconds="5"),
    "seconds is a boolean": event(type="live_chat", seconds=True),
    "score of 11": event(type="nps", score=11),
    "score of 9.5": event(type="nps", score=9.5),
    "score is a text": event(type="nps", score="9"),
    "score is a boolean": event(type="nps", score=True),
    "text is a boolean": event(type="nps", score=9, text=True),
    "won is a number": event(type="participation", won=1),
    "won is a text": event(type="participation", won="true"),
    "amount below 0": event(type="coupon", step="issued", amount=-1),
    "step of another type": event(type="pin", step="issued"),
    "option is a boolean": event(type="decision", option=True),
    "time zone unknown": entity(type="tenant", timezone="Mars/Olympus"),
    "time zone localtime": entity(type="tenant", timezone="localtime"),
    "session_minutes 0": entity(type="tenant", session_minutes=0),
    "session_minutes 1441": entity(type="tenant", session_minutes=1441),
    "session_minutes is half": entity(type="tenant", session_minutes=1.5),
    "session_rule unknown": entity(type="tenant", session_rule="none"),
    "business_type unknown": entity(type="tenant", business_type="bank"),
    "active is a number": entity(type="location", active=1),
    "level 4": entity(type="user", level=4),
    "channel_type unknown": entity(type="channel", channel_type="fax"),
    "position is a text": entity(type="module", position="1"),
    "next is a text": entity(type="module", next="m"),
    "next holds null": entity(type="module", next=[None]),
    "next holds an empty id": entity(type="module", next=[""]),
    "month is missing": entity(type="potential"),
    "month has a day": entity(type="potential", month="2026-03-01"),
    "month 13": entity(type="potential", month="2026-13"),
    "month of 1999": entity(type="potential", month="1999-12"),
    "month is a number": entity(type="potential", month=202603),
    "potential below 0": entity(type="potential", month="2026-03", inbound_leads=-1),
    "potential is a text": entity(type="potential", month="2026-03", inbound_leads="1"),
    "potential's id is a boolean": entity(type="potential", month="2026-03", id=True),
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_bad_line_has_a_plain_reason(line: bytes) -> None:
    with pytest.raises(BadRecord) as caught:
        parse(line)
    reason = str(caught.value)
    assert reason and "\n" not in reason and len(reason) < 120


@pytest.mark.parametrize("line", [b"[", b' [{"type": "click"},', b"[]", event().join((b"[", b"]"))])
def test_a_json_array_is_called_one(line: bytes) -> None:
    with pytest.raises(BadRecord, match="^a JSON array; one record a line is needed$"):
        parse(line)


GOOD_FIELDS = {
    "id as a number": (event(id=7), {"id": "7"}),
    "id as 2.0": (event(id=2.0), {"id": "2"}),
    "id as a long number": (
        event(id=12345678901234567890123),
        {"id": "12345678901234567890123"},
    ),
    "id as a small number": (event(contact=1e-7), {"contact": "0.0000001"}),
    "id of 1,000 characters": (event(id="漢" * 1000), {"id": "漢" * 1000}),
    "id with breaks": (event(id="a\tb\\N\nc\r"), {"id": "a\tb\\N\nc\r"}),
    "id that looks like null": (event(contact="\\N"), {"contact": "\\N"}),
    "surrogate pair": (event(contact="\N{GRINNING FACE}"), {"contact": "\N{GRINNING FACE}"}),
    "dimension null": (event(contact=None), {"contact": None, "extra": None}),
    "dimension empty": (event(device=""), {"device": None}),
    "dimension required by no type": (event(type="routed"), {"inbox": None}),
    "dimension that means nothing": (event(bot="b"), {"bot": "b"}),
    "duplicate key": (event()[:-1] + b', "id": "last"}', {"id": "last"}),
    "from": (event(type="message", **{"from": "user"}), {"sender": "user"}),
    "own field of another type": (
        event(seconds="x"),
        {"seconds": None, "extra": '{"seconds":"x"}'},
    ),
    "extra": (event(b=[1.0, {"d": None}], a="ü"), {"extra": '{"a":"ü","b":[1,{"d":null}]}'}),
    "extra nested deep": (
        event(a=json.loads("[" * 600 + "]" * 600)),
        {"extra": '{"a":' + "[" * 600 + "]" * 600 + "}"},
    ),
    "extra with a backslash before u0000": (event(a="\\u0000"), {"extra": '{"a":"\\\\u0000"}'}),
    "extra with a backslash": (event(a="\\"), {"extra": '{"a":"\\\\"}'}),
    "integer as 9.0": (event(type="nps", score=9.0), {"score": "9"}),
    "text as a number": (event(type="nps", score=0, text=5.50), {"text": "5.5"}),
    "won": (event(type="participation", won=False), {"won": "f"}),
    "won null": (event(type="participation", won=None), {"won": None}),
    "amount left out": (event(type="coupon", step="issued"), {"amount": "1"}),
    "amount null": (event(type="coupon", step="issued", amount=None), {"amount": "1"}),
    "tenant alone": (
        b'{"type": "tenant", "id": "t"}',
        {"id": "t", "name": "t", "timezone": "UTC", "business_type": "other"}
        | {"session_rule": "inactivity", "session_minutes": "30", "extra": None},
    ),
    "name left out": (entity(type="folder", name=""), {"name": "x"}),
    "bot's description left out": (
        entity(type="bot", name="n"),
        {"name": "n", "description": None},
    ),
    "active left out": (entity(type="user", active=None), {"active": "t"}),
    "active false": (entity(type="user", active=False), {"active": "f"}),
    "next": (entity(type="module", next=["a", 2.0]), {"next": '["a","2"]'}),
    "next empty": (entity(type="module", next=[]), {"next": "[]"}),
    "potential": (
        entity(type="potential", month="2026-03", workshop_jobs=2.0, inbound_leads=None)[:-1]
        + b', "sales_advisors": ""}',
        {"month": "2026-03-01", "workshop_jobs": "2", "inbound_leads": None}
        | {"sales_advisors": None, "ends": "{inbound_leads}", "extra": None},
    ),
    "potential without id": (
        b'{"type": "potential", "tenant": "t", "month": "2026-12"}',
        {"month": "2026-12-01", "ends": "{}"},
    ),
}


@pytest.mark.parametrize(("line", "expected"), GOOD_FIELDS.values(), ids=GOOD_FIELDS.keys())
def test_fields_become_columns(line: bytes, expected: dict[str, str | None]) -> None:
    found = values(parse(line))
    assert {name: found[name] for name in expected} == expected
    assert copied_back(parse(line)) == list(found.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T10:00:00Z", "2026-03-01 10:00:00+00:00"),
        ("2026-03-01t10:00:00z", "2026-03-01 10:00:00+00:00"),
        ("2026-03-01T10:00:00.123456789Z", "2026-03-01 10:00:00.123456+00:00"),
        ("2026-03-01T10:00:00.999999999+00:00", "2026-03-01 10:00:00.999999+00:00"),
        ("2026-03-01T10:00:00+05:30", "2026-03-01 04:30:00+00:00"),
        ("2026-03-01T10:00:00-00:00", "2026-03-01 10:00:00+00:00"),
        ("2026-03-01T10:00:00+23:59", "2026-02-28 10:01:00+00:00"),
        ("1999-12-31T23:30:00-00:30", "2000-01-01 00:00:00+00:00"),
        ("2101-01-01T00:30:00+01:00", "2100-12-31 23:30:00+00:00"),
        ("2024-02-29T10:00:00Z", "2024-02-29 10:00:00+00:00"),
    ],
)
def test_times_are_brought_to_utc(text: str, expected: str) -> None:
    assert datetime.fromisoformat(instant(text)) == datetime.fromisoformat(expected)
    assert values(parse(event(at=text)))["at"] == instant(text)


def content(line: bytes) -> str | None:
    return values(parse(line))["content"]


def test_content_is_equal_as_parsed_json() -> None:
    plain = event(type="nps", score=9, extra_field={"a": 1, "b": [2]})
    assert content(plain) == content(plain.replace(b'"score": 9', b'"score":9.0'))
    assert content(plain) == content(plain.replace(b'{"a": 1, "b": [2]}', b'{"b":[2.0],"a":1e0}'))
    turned = json.dumps(dict(reversed(json.loads(plain).items()))).encode()
    assert content(plain) == content(turned)
    assert content(event(a="\N{GREEK SMALL LETTER MU}")) == content(
        event(a="\N{GREEK SMALL LETTER MU}").replace(b"\\u03bc", "μ".encode())
    )
    assert content(event(big=10**22)) == content(event(big=1e22))


@pytest.mark.parametrize(
    "other",
    [
        event(contact=None),
        event(contact=""),
        event(at="2026-03-01T10:00:00.0Z"),
        event(at="2026-03-01T11:00:00+01:00"),
        event(more=1),
        event(more="1"),
        event(more=True),
        event(type="visit"),
    ],
)
def test_content_differs(other: bytes) -> None:
    assert content(other) != content(event())


def test_big_integers_are_told_apart() -> None:
    assert content(event(big=2**60 + 1)) != content(event(big=2**60))
    assert content(event(big=2**70 + 1)) != content(event(big=2**70))
    assert content(event(big=2**70 + 1, half=0.5)) != content(event(big=2**70, half=0.5))


def test_names_of_fields_that_somebody_invents_fill_no_memory() -> None:
    kept = records.in_order_of_usual.cache_info().currsize
    for number in range(5):
        parse(event(**{f"{number} {name}": 0 for name in range(1000)}))
    assert records.in_order_of_usual.cache_info().currsize == kept
    assert records.USUAL_BYTES * records.USUAL_NAMES <= 1 << 20
