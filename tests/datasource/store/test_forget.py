"""A forgotten contact is nowhere, stays out, and the numbers are as if it had never been."""

import json
import random
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datasource.store.connection import connect
from datasource.store.forget import forget
from datasource.store.load import Counts, load
from datasource.store.migrate import init
from datasource.store.refresh import refresh
from datasource.store.turns import turn
from tests.agreement import CATALOG, agrees, ask_sql, installed, sql_can_ask
from tests.conftest import Databases
from tests.oracle import Oracle, QuestionError
from tests.oracle.random_questions import describe, questions
from tests.oracle.random_records import NOW, tenants

Connection = psycopg.Connection[Any]
Records = list[dict[str, Any]]
# Every column of every table and materialized view, as text.
COLUMNS = """
SELECT format('SELECT %L WHERE EXISTS (SELECT FROM %s WHERE strpos(%s, $1) > 0)',
    c.oid::regclass || '.' || a.attname, c.oid::regclass,
    CASE WHEN a.atttypid = 'bytea'::regtype THEN format('encode(%I, ''escape'')', a.attname)
        ELSE format('%I::text', a.attname) END)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace::regnamespace::text ~ '^kpi' AND c.relkind IN ('r', 'm')
"""
NUMBERED = """
SELECT format('SELECT %L WHERE EXISTS (SELECT FROM %s WHERE %I = $1)', c.oid::regclass, c.oid::regclass, a.attname)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace::regnamespace::text ~ '^kpi' AND c.relkind IN ('r', 'm') AND a.attname = 'contact_no'
"""
QUESTIONS = 300
WHO = "person-4711"
EVENT = {
    "type": "message",
    "tenant": "t",
    "at": "2026-03-02T10:00:00Z",
    "from": "contact",
    "contact": WHO,
}


def write(folder: Path, records: Iterable[dict[str, Any] | str], name: str = "a.ndjson") -> Path:
    path = folder / name
    path.write_text(
        "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), "utf-8"
    )
    return path


def where_is(connection: Connection, text: str) -> list[str]:
    """The columns that have a text in them."""
    found: list[str] = []
    for (query,) in connection.execute(COLUMNS).fetchall():
        statement = query.replace("$1", "%s")
        found += [place for (place,) in connection.execute(statement.encode(), [text])]
    return found


def rows_of_number(connection: Connection, number: int) -> list[str]:
    found: list[str] = []
    for (query,) in connection.execute(NUMBERED).fetchall():
        statement = query.replace("$1", "%s")
        found += [place for (place,) in connection.execute(statement.encode(), [number])]
    counted = "SELECT kpi_id FROM kpi_admin.counted_day JOIN kpi_admin.kpi USING (kpi_id)"
    counted += " WHERE kpi.entity = 'contact_no' AND counted_day.entity = %s"
    found += [f"days of {kpi_id}" for (kpi_id,) in connection.execute(counted.encode(), [number])]
    slices = "SELECT relation FROM kpi_admin.slice JOIN kpi_admin.kpi USING (kpi_id)"
    for (name,) in connection.execute(f"{slices} WHERE entity = 'contact_no'".encode()).fetchall():
        query = f'SELECT 1 FROM kpi_slice."{name}" WHERE entity = %s'
        found += [name for _ in connection.execute(query.encode(), [number])]
    return found


@pytest.fixture
def connection(database: Databases) -> Connection:
    return connect(database.installed(), autocommit=True)


def test_a_forgotten_contact_is_nowhere(connection: Connection, tmp_path: Path) -> None:
    records: list[dict[str, Any] | str] = [
        EVENT | {"id": "1", "conversation": "v", "experience": "x"},
        EVENT | {"id": "2", "type": "nps", "score": 9, "text": "my secret", "contact": WHO},
        {
            **EVENT,
            "id": "3",
            "from": "user",
            "user": "u",
            "conversation": "v",
            "body": "Dear Secret",
        },
        EVENT | {"id": "4", "contact": "other", "referrer": WHO, "conversation": "w"},
        EVENT | {"id": "5", "tenant": "elsewhere"},
        EVENT | {"id": "6", "at": "not a time"},
        '{"tenant": "t", "contact": "person-4711", "broken',
        '{"note": "call person-4711"}',
        EVENT | {"id": "7", "tenant": "elsewhere", "at": "not a time"},
    ]
    del records[2]["contact"]  # type: ignore[union-attr, arg-type]
    load(connection, [write(tmp_path, records)], err=lambda _: None)
    refresh(connection, CATALOG)
    number = connection.execute(
        "SELECT contact_no FROM kpi_fact.contact JOIN kpi_data.tenant_number USING (tenant_no) "
        "WHERE contact = %s AND tenant = 't'",
        [WHO],
    ).fetchone()
    assert number and "days of mecs" in rows_of_number(connection, number[0])
    load(connection, [write(tmp_path, [EVENT | {"id": "8"}])])  # not refreshed yet
    assert forget(connection, "t", WHO) == 3
    assert {place for place in rows_of_number(connection, number[0]) if place[:3] == "kpi"} == {
        "kpi_admin.erased_event",
        "kpi_fact.conversation_event",
        "kpi_fact.session",
    }
    refresh(connection, CATALOG)
    assert rows_of_number(connection, number[0]) == []
    assert where_is(connection, "my secret") == where_is(connection, "Dear Secret") == []
    assert connection.execute(
        "SELECT convert_from(raw, 'UTF8')::jsonb ->> 'id' FROM kpi_admin.set_aside"
    ).fetchall() == [("7",)], "those of another tenant stay"
    assert forget(connection, "elsewhere", WHO) == 1
    refresh(connection, CATALOG)
    assert where_is(connection, WHO) == []
    left = "SELECT id, extra FROM kpi_data.event ORDER BY id"
    assert connection.execute(left).fetchall() == [("3", None), ("4", {"referrer": "forgotten"})]
    assert connection.execute(
        "SELECT conversation FROM kpi_fact.conversation ORDER BY 1"
    ).fetchall() == [
        ("v",),
        ("w",),
    ]


@pytest.mark.parametrize(
    "contact", [", ", ": ", "{", "forgotten", "a\\", 'q"', "\x01\n", "漢", 9, 10, "0.5", "1" * 40]
)
def test_its_id_goes_from_other_records_whatever_it_is(
    contact: str | int, connection: Connection, tmp_path: Path
) -> None:
    number = int(contact) if str(contact).isdecimal() else "no number"
    extra = {"list": ["a", "b", contact, {"k": f"{contact} and more"}], "o": {"k": number, "n": 99}}
    other = EVENT | {"id": "2", "contact": "other", **extra}
    entity = {"type": "folder", "tenant": "t", "id": "f", "referrer": contact}
    load(connection, [write(tmp_path, [EVENT | {"id": "1", "contact": contact}, other, entity])])
    assert forget(connection, "t", str(contact)) == 1
    [(left,)] = connection.execute("SELECT extra FROM kpi_data.event").fetchall()
    kept = "no number" if number == "no number" else "forgotten"
    assert left == {
        "list": ["a", "b", "forgotten", {"k": f"{contact} and more"}],
        "o": {"k": kept, "n": 99},
    }
    [(left,)] = connection.execute("SELECT extra FROM kpi_data.folder").fetchall()
    assert left == {"referrer": "forgotten"}


def test_again_or_of_nobody_known_it_forgets_nothing(
    connection: Connection, tmp_path: Path
) -> None:
    load(connection, [write(tmp_path, [EVENT | {"id": "1"}])])
    assert [forget(connection, "t", WHO) for _ in range(2)] == [1, 0]
    assert forget(connection, "t", "nobody") == forget(connection, "nowhere", WHO) == 0


@pytest.mark.parametrize("contact", ["person-4711", "7", "o'Brien\t\\é\"", "\\N"])
def test_it_stays_out(contact: str, connection: Connection, tmp_path: Path) -> None:
    event = EVENT | {"contact": int(contact) if contact == "7" else contact}
    forget(connection, "t", contact)
    told: list[str] = []
    file = write(
        tmp_path,
        [
            event | {"id": "1", "note": "hush"},
            event | {"id": "1"},
            event | {"id": "2", "at": "never"},
            json.dumps(event | {"id": "3"})[:-1],
            {"type": "user", "tenant": "t", "id": "u", "contact": event["contact"]},
            event | {"id": "4", "contact": "somebody"},
            event | {"id": "5", "tenant": "elsewhere"},
        ],
    )
    assert load(connection, [file], err=told.append) == Counts(2, 0, 5)
    assert told == [f"{file}:{n}: forgotten" for n in (1, 2, 3, 4, 5)]
    kept = connection.execute("SELECT line, reason, raw FROM kpi_admin.set_aside ORDER BY line")
    assert kept.fetchall() == [(n, "forgotten", b"") for n in (1, 2, 3, 4, 5)]
    assert where_is(connection, "hush") == []
    assert connection.execute("SELECT id FROM kpi_data.event ORDER BY id").fetchall() == [
        ("4",),
        ("5",),
    ]


def test_the_hash_needs_the_database_s_key(connection: Connection, database: Databases) -> None:
    other = connect(database.new_database(), autocommit=True)
    init(other, CATALOG)
    for made in (connection, other):
        forget(made, "t", WHO)
    hashes = [made.execute("TABLE kpi_admin.forgotten").fetchall() for made in (connection, other)]
    assert hashes[0] != hashes[1] and len(hashes[0][0][0]) == 32


def test_it_waits_for_a_refresh_and_says_so(connection: Connection) -> None:
    told: list[str] = []
    forgets = threading.Thread(target=forget, args=[connection, "t", WHO, told.append])
    with turn(connect(connection.info.dsn), "refresh"):
        forgets.start()
        while not told:
            time.sleep(0.05)
        assert "waiting for its turn to refresh, behind pid" in told[0]
        assert forgets.is_alive()
    forgets.join(30)
    assert connection.execute("SELECT count(*) FROM kpi_admin.forgotten").fetchone() == (1,)


@pytest.mark.parametrize("seed", [5])
def test_every_answer_is_as_if_it_had_never_been(
    seed: int, database: Databases, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    records: Records = tenants(100 + seed, 4)

    def who(record: dict[str, Any]) -> tuple[str, str]:
        contact = record.get("contact")
        contact = int(contact) if isinstance(contact, float) else contact  # 7.0 is the id 7
        return str(record.get("tenant")), str(contact)

    named = {who(record) for record in records if record.get("contact") and "at" in record}
    gone = rng.sample(sorted(named), 6)
    left = [record for record in records if who(record) not in gone]
    _, connection = installed(database, records, tmp_path, NOW.isoformat())
    count = sum(forget(connection, tenant, contact) for tenant, contact in gone)
    assert count == len({(r["tenant"], r["id"]) for r in records if who(r) in gone}) > 0
    refresh(connection, CATALOG)
    oracle, wrong, asked = Oracle(left, NOW), [], 0
    for question in questions(seed, describe(oracle), QUESTIONS, now=NOW):
        try:
            wanted = oracle.answer(question)
        except QuestionError:
            continue
        if not sql_can_ask(question):
            continue
        got = ask_sql(connection, question)
        if not agrees(got, wanted):
            wrong.append((question, got, wanted))
        asked += 1
    assert asked > QUESTIONS / 5
    assert not wrong, f"{len(wrong)} wrong, the first: {wrong[0]}"
    before = facts(connection)
    refresh(connection, CATALOG, full=True)
    assert facts(connection) == before
    connection.close()


def facts(connection: Connection) -> dict[str, Any]:
    """What the facts and the days hold, without the numbers, which a full refresh makes anew."""
    found = {}
    tables = connection.execute("SELECT fact FROM kpi_admin.fact ORDER BY 1").fetchall()
    for (table,) in tables:
        rows = connection.execute(
            f"SELECT to_jsonb(f) - '{{contact_no,conversation_no,user_no}}'::text[] FROM kpi_fact.\"{table}\" AS f".encode()
        )
        found[table] = sorted(json.dumps(row, sort_keys=True) for (row,) in rows)
    for table in ("kpi_fact.experience_start", "kpi_admin.day_amount"):
        rows = connection.execute(f"SELECT to_jsonb(f) FROM {table} AS f".encode())
        found[table] = sorted(json.dumps(row, sort_keys=True) for (row,) in rows)
    return found
