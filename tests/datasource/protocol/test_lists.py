"""Lists of things, and files for spreadsheets."""

import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from datasource.catalog import DIMS
from datasource.protocol.export import harmless
from tests.conftest import Databases
from tests.datasource.protocol.client import MARCH, Client, served
from tests.oracle.random_records import tenants

A = {"tenant": "a"}
AT = 1772445600000  # 2026-03-02T10:00:00Z
MINUTE = 60_000


def listed(client: Client, name: str, filters: dict[str, Any] = A, **more: Any) -> Any:
    return client.rows({"list": name, "filters": filters, **more})


def test_entities(client: Client) -> None:
    assert listed(client, "channels") == [
        {"id": "c", "name": "Web", "active": True, "channel_type": "web"},
        {"id": "q", "name": "q", "active": None},
    ]
    assert listed(client, "locations") == [{"id": "l", "name": "Town", "active": False}]
    [uma] = listed(client, "users", {**A, "location": "l", "role": ["agent", "no role"]})
    assert (
        uma | {"id": "u", "name": "Uma", "active": True, "level": "2", "department_name": "Sales"}
        == uma
    )
    assert listed(client, "users", {"level": {"op": "!=", "values": ["2"]}}) == []
    [inbox] = listed(client, "inboxes")
    assert (inbox["department"], inbox["department_name"]) == ("d", "Sales")
    assert [row["name"] for row in listed(client, "experiences")] == ["Quiz", "other"]
    assert [row["id"] for row in listed(client, "experiences", {"folder": "f"})] == ["x"]
    assert [row["id"] for row in listed(client, "experiences", {"folder": "no folder"})] == [
        "other"
    ]
    assert listed(client, "folders") == [{"id": "f", "name": "Spring", "active": True}]
    assert listed(client, "departments")[0]["location_name"] == "Town"
    bots = listed(client, "bots", {})
    assert [list(bot.items())[:5] for bot in bots] == [
        [("tenant", "a"), ("tenant_name", "Ámo"), ("id", "r"), ("name", "Robo"), ("active", True)],
        [
            ("tenant", "b"),
            ("tenant_name", "b"),
            ("id", "ghost"),
            ("name", "ghost"),
            ("active", None),
        ],
    ]


def test_modules(client: Client) -> None:
    rows = listed(client, "modules", {**A, "experience": "x"}, **MARCH)
    assert [(row["id"], row["visits"], row["share"], row["position"]) for row in rows] == [
        ("m1", 2, 1, 1),
        ("m2", 1, 0.5, 2),
    ]


def test_nps_answers(client: Client) -> None:
    rows = listed(client, "nps_answers", **MARCH)
    assert [(row["time"], row["score"], row["segment"], row["name"]) for row in rows] == [
        (AT + 8 * MINUTE, 2, "detractors", "no experience"),
        (AT + 7 * MINUTE, 9, "promoters", "Quiz"),
    ]
    assert rows[1]["text"] == '=good, "very"'
    only = listed(client, "nps_answers", {**A, "segment": "promoters"}, **MARCH)
    assert only == rows[1:]
    # A dashboard's folder chooses among them, and is no column.
    assert listed(client, "nps_answers", {**A, "folder": "f"}, **MARCH) == rows[1:]
    assert listed(client, "nps_answers", {**A, "folder": "no folder"}, **MARCH) == rows[:1]
    assert "folder" not in rows[0]


def test_after_sales(client: Client) -> None:
    not_joined = listed(client, "after_sales_not_joined", **MARCH)
    assert not_joined == [
        {
            "time": AT + 10 * MINUTE,
            "id": "s 1/é",
            "name": "s 1/é",
            "conversation": "s 1/é",
            "contact": "c1",
            "url": "https://x.example/c/s%201%2F%C3%A9?a=1",
            "channel": "c",
            "channel_name": "Web",
        }
    ]
    not_engaged = listed(client, "after_sales_not_engaged", **MARCH)
    assert [(row["id"], row["channel"]) for row in not_engaged] == [("s2", "q")]
    assert listed(client, "after_sales_not_engaged", {"channel": "c"}, **MARCH) == []


def test_the_tree(client: Client) -> None:
    def tree(*expanded: Any) -> list[tuple[str, int, str, int]]:
        rows = listed(client, "after_sales_tree", expanded=list(expanded), **MARCH)
        return [(row["path"], row["level"], row["name"], row["value"]) for row in rows]

    top = [('["l"]', 1, "Town", 1), ('["no location"]', 1, "no location", 1)]
    assert tree() == top
    assert tree('["l"]', ["x"]) == [top[0], ('["l","d"]', 2, "Sales", 1), top[1]]
    assert tree('["l","d"]') == top  # its parent is closed
    deep = tree('["l"]', ["l", "d"], '["l","d","u"]')
    assert [row[1] for row in deep] == [1, 2, 3, 4, 1]
    assert deep[3][:3] == ('["l","d","u","c"]', 4, "Web")
    messages = listed(client, "after_sales_tree", kpi="after_sales_messages", **MARCH)
    assert sum(row["value"] for row in messages) == 3


def test_what_there_is(client: Client) -> None:
    [span] = listed(client, "range")
    assert (span["first"], span["last"], span["now"]) == (AT, AT + 15 * MINUTE, 1811808000000)
    catalog = client.rows({"list": "catalog"})
    assert {"id", "name", "dims", "description_nl"} <= catalog[0].keys()
    assert all(row["behind"] == 0 for row in client.rows({"list": "freshness"}))


def test_hits(client: Client) -> None:
    rows = listed(client, "hits", kpi="messages", **MARCH)
    assert len(rows) == 5
    assert (
        rows[0]
        | {
            "time": AT,
            "kind": "message",
            "id": "e00",
            "conversation": "v/1",
            "amount": 1,
            "channel_name": "Web",
        }
        == rows[0]
    )
    assert listed(client, "hits", kpi="messages", offset=4, **MARCH) == rows[4:]


def lines(client: Client, query: str) -> list[list[str]]:
    answer = client.get(f"/export/{query}")
    assert answer.status_code == 200 and answer.content_type == "text/csv; charset=utf-8"
    assert "\r\n" in answer.text and answer.text.endswith("\r\n")
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    return list(csv.reader(io.StringIO(answer.text, newline="")))


def test_export(client: Client) -> None:
    march = "from=2026-03-01T00:00:00%2B01:00&to=2026-03-04T00:00:00%2B01:00"
    assert lines(client, f"messages.csv?{march}&where=tenant=a&by=channel&where=channel=c") == [
        ["time", "channel", "channel_name", "value"],
        *(
            [f"2026-03-0{day}T00:00:00+01:00", "c", "Web", "4" if day == 2 else "0"]
            for day in (1, 2, 3)
        ),
    ]
    either = "where=channel=c&where=channel=q&shape=total"
    assert lines(client, f"messages.csv?{march}&{either}") == [["value"], ["5"]]
    assert lines(client, "nps.csv?where=tenant=b&shape=total&compare=previous") == [
        ["value", "previous"],
        ["", ""],
    ]
    last = lines(client, "messages.csv?where=tenant=b")
    assert (len(last), last[1][0], last[-1][0]) == (
        31,
        "2027-05-02T00:00:00+00:00",
        "2027-05-31T00:00:00+00:00",
    )
    answer = client.get(f"/export/messages.csv?{march}&where=tenant=a")
    assert answer.headers["X-Range-From"] == "2026-02-28T23:00:00Z"
    assert answer.headers["Content-Disposition"] == (
        'attachment; filename="messages_2026-03-01_2026-03-03.csv"'
    )


def test_an_export_is_read_as_it_is_sent(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows it has, no more of them are in memory than a batch and a piece."""
    monkeypatch.setattr("datasource.protocol.app.PIECE_LINES", 8)
    monkeypatch.setattr("datasource.protocol.database.BATCH", 10)
    fetched: list[int] = []
    fetch = psycopg.ServerCursor.fetchmany

    def noted(cursor: Any, size: int) -> Any:
        found = fetch(cursor, size)
        fetched.append(len(found))
        return found

    monkeypatch.setattr(psycopg.ServerCursor, "fetchmany", noted)
    days = "from=2026-03-01T00:00:00Z&to=2026-04-15T00:00:00Z&where=tenant=b"
    answer = client.get(f"/export/messages.csv?{days}", buffered=False)
    text = next(answer.response)
    assert text.startswith(b"time,value\r\n") and text.count(b"\n") == 8 and fetched == [10]
    rest = b"".join(answer.response)
    assert rest.count(b"\n") == 1 + 45 - 8 and fetched == [10, 10, 10, 10, 5, 0]
    answer = client.get(f"/export/messages.csv?{days}", buffered=False)
    answer.close()  # a reader that goes away leaves its connection to others
    for _ in range(5):
        assert client.get(f"/export/messages.csv?{days}").status_code == 200
    broken = client.get(f"/export/messages.csv?{days}&by=nothing")
    assert broken.status_code == 422 and broken.json["code"] == "unknown_dimension"


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("channels.csv?where=tenant=a", ["id", "name", "active", "channel_type"]),
        ("modules.csv?where=tenant=a", ["id", "name", "active", "visits", "share"]),
        ("after_sales_not_joined.csv?where=tenant=a", ["time", "id", "name", "conversation"]),
        ("hits.csv?kpi=messages&where=tenant=a", ["time", "kind", "id", "name", "contact"]),
        ("freshness.csv?", ["id", "name", "view_name", "kpi_ids", "refreshed_at"]),
    ],
)
def test_export_of_lists(client: Client, query: str, first: list[str]) -> None:
    march = "&from=2026-03-01T00:00:00%2B01:00&to=2026-03-04T00:00:00%2B01:00"
    rows = lines(client, query + march)
    assert rows[0][: len(first)] == first and len(rows) > 1
    for name in ("time", "refreshed_at"):
        if name in rows[0]:
            assert datetime.fromisoformat(rows[1][rows[0].index(name)]).tzinfo


def test_an_empty_export_of_a_list_has_its_head(client: Client) -> None:
    [head] = lines(
        client, "modules.csv?where=tenant=b&from=2026-03-01T00:00:00Z&to=2026-03-04T00:00:00Z"
    )
    assert head


def test_a_file_for_excel_starts_with_a_byte_order_mark(client: Client) -> None:
    plain, marked = (client.get(f"/export/sessions.csv?bom={bom}").data for bom in "01")
    assert marked == b"\xef\xbb\xbf" + plain


def test_export_of_answers(client: Client) -> None:
    march = "from=1772323200000&to=1772668800000&where=tenant=a"
    rows = lines(client, f"nps_answers.csv?{march}&segment=promoters")
    assert rows[0] == [
        "time",
        "id",
        "name",
        "experience",
        "experience_name",
        "score",
        "segment",
        "text",
    ]
    assert rows[1:] == [
        [
            "2026-03-02T11:07:00+01:00",
            "e07",
            "Quiz",
            "x",
            "Quiz",
            "9",
            "promoters",
            '\'=good, "very"',
        ]
    ]
    assert len(lines(client, f"nps_answers.csv?{march}")) == 3
    assert len(lines(client, f"nps_answers.csv?{march}&segment=passives")) == 1


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1", "'=1"),
        ("x;=1+1;y", "x;'=1+1;y"),
        ("x; \t@SUM(1);+a!b", "x; \t'@SUM(1);'+a!b"),
        ("x\n=1\r\n-cmd|' /C calc'!A0", "x\n'=1\r\n'-cmd|' /C calc'!A0"),
        ("good;-) and ;-D\n- a point\n+1", "good;-) and ;-D\n- a point\n+1"),
        ("a=1, b=2", "a=1, b=2"),
        (-1, -1),
        (None, None),
        (";" * 500_000, ";" * 500_000),
        ("; " * 500_000, "; " * 500_000),
        (";" + " " * 500_000, ";" + " " * 500_000),
        (";+" * 500_000, ";+" * 500_000),
    ],
    ids=range(12),
)
def test_no_part_of_a_cell_is_a_formula(cell: object, written: object) -> None:
    """Excel parts a file at semicolons and line breaks where a country separates lists by those."""
    assert harmless(cell) == written


def test_noted_values_are_those_of_the_slices(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What menus read in place of slices says the same, also for half of the slices and none."""
    connection = served(database, tenants(102, 6), tmp_path, monkeypatch).connection
    filters = (
        {},
        {"folder": {"op": "!=", "values": ["no folder"]}},
        {"role": "agent"},
        {"level": ["0", "1"]},
    )
    asked = [(dim, Jsonb(one)) for dim in DIMS for one in filters]

    def occurring(*question: Any) -> list[Any] | str:
        statement = "SELECT DISTINCT * FROM kpi_http.occurring(%s, %s) ORDER BY 1, 2"
        try:
            return connection.execute(statement, question).fetchall()
        except psycopg.Error as error:
            return str(error.sqlstate)

    connection.execute("SELECT kpi_admin.note_values()")
    assert connection.execute("SELECT kpi_admin.note_values()").fetchone() == (0,)
    noted = [occurring(*one) for one in asked]
    assert sum(len(values) > 1 for values in noted) > len(DIMS)
    for which in ("relation < 'm'", "true"):
        connection.execute(f"DELETE FROM kpi_admin.slice_value WHERE {which}".encode())
        assert [occurring(*one) for one in asked] == noted
    # Of values that hold more than a row may, nothing is noted; a refresh goes on.
    smaller = "CREATE OR REPLACE FUNCTION kpi_admin.noted_bytes() RETURNS integer LANGUAGE sql "
    connection.execute(f"{smaller} IMMUTABLE AS 'SELECT 20'".encode())
    connection.execute("SELECT kpi_admin.note_values()")
    [(dims,)] = connection.execute("SELECT count(DISTINCT dim) FROM kpi_admin.slice_value")
    assert 0 < dims < len(DIMS)
    assert [occurring(*one) for one in asked] == noted


def test_only_web_addresses_are_links(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link runs in the browser of whoever clicks it, and anybody's record may name it."""
    at = {"at": "2026-03-02T10:00:00Z", "conversation": "v"}
    records = [
        {"type": "notification", "tenant": tenant, "id": "e", **at} for tenant in ("good", "bad")
    ]
    for tenant, url in (("good", "HTTPS://x/{conversation}"), ("bad", "javascript:alert(1)//")):
        records.append({"type": "tenant", "id": tenant, "conversation_url": url})
    client = served(database, records, tmp_path, monkeypatch)
    rows = listed(client, "after_sales_not_joined", {}, **MARCH)
    assert {row["tenant"]: row["url"] for row in rows} == {"good": "HTTPS://x/v", "bad": None}
