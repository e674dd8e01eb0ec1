"""Written attempts to reach past a question, through every field, with a token of tenant a.

Nothing of tenant b comes back, nothing changes, and only the statements of statements.txt reach
PostgreSQL, as constant texts with parameters.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from werkzeug.test import TestResponse

from datasource.protocol import tokens
from datasource.protocol.app import create_app
from tests.conftest import Databases, as_superuser
from tests.datasource.protocol.client import MARCH, Client, served
from tests.datasource.protocol.conftest import AT, RECORDS

STATEMENTS = Path(__file__).with_name("statements.txt")
MARK = "s3cret"  # in every name, id and text of tenant b
OF_B: list[dict[str, Any]] = [
    {"type": "channel", "id": f"{MARK}-channel", "name": f"{MARK} channel"},
    {"type": "experience", "id": f"{MARK}-x", "name": f"{MARK} experience"},
    {
        "type": "nps",
        "id": f"{MARK}-nps",
        "at": AT,
        "score": 3,
        "text": f"{MARK} answer",
        "contact": f"{MARK}-c",
        "experience": f"{MARK}-x",
    },
    {
        "type": "message",
        "id": f"{MARK}-m",
        "at": AT,
        "from": "contact",
        "conversation": f"{MARK}-v",
        "channel": f"{MARK}-channel",
    },
]
COUNT = """SELECT (SELECT count(*) FROM kpi_data.event), (SELECT count(*) FROM kpi_admin.token),
    (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'kpi%')"""

ROWS: list[dict[str, Any]] = [
    {"kpi": "messages'; DROP TABLE kpi_admin.token; --"},
    {"kpi": "messages') UNION SELECT token FROM kpi_admin.token --"},
    {"kpi": 'messages" OR 1=1 --'},
    {"kpi": "$1"},
    {"kpi": "%s%s%s%(kpi)s{0}"},
    {"kpi": "kpi_slice.messages_2026_03_1"},
    {"kpi": "messages\u0027 OR \u00271\u0027=\u00271"},
    {"kpi": "messages＇; SELECT pg_sleep(10); --"},
    {"kpi": None, "kpis": ["messages", "nps'; SELECT pg_sleep(10); --"], "shape": "total"},
    {
        "kpi": None,
        "kpis": ["messages", 'messages" AS x, (SELECT text FROM kpi_data.event) AS "y'],
        "shape": "total",
    },
    {"by": ["channel, (SELECT string_agg(text, ',') FROM kpi_data.event)"]},
    {"by": ["s.entity"]},
    {"by": ["tenant_no"]},
    {"by": ['channel"; DELETE FROM kpi_data.event; --']},
    {"by": ["channel", "tenant) FROM kpi_data.event --"]},
    {"filters": {"channel'; DROP SCHEMA kpi CASCADE; --": "c"}},
    {"filters": {"1=1 OR channel": "c"}},
    {"filters": {"channel": "c' OR '1'='1"}},
    {"filters": {"channel": "c'); SELECT pg_sleep(10); --"}},
    {"filters": {"channel": "') UNION ALL SELECT * FROM kpi_data.event --"}},
    {"filters": {"channel": ["c\\", "' OR 1=1 --"]}},
    {"filters": {"channel": "(c|' || (SELECT text FROM kpi_data.event LIMIT 1) || ')"}},
    {"filters": {"channel": '["c", "\' OR 1=1 --"]'}},
    {"filters": {"channel": "{c,' OR 1=1 --}"}},
    {"filters": {"channel": {"op": "= ANY (SELECT id FROM kpi_data.channel) OR", "values": ["c"]}}},
    {"filters": {"channel": {"op": "=' OR '", "values": ["c"]}}},
    {"filters": {"channel": {"op": "!=", "values": ["x' OR tenant_no = 2 --"]}}},
    {"filters": {"channel": {"op": "=~", "values": [".*' OR '1'='1"]}}},
    {"filters": {"channel": {"op": "=~", "values": ["x)|(.*"]}}},
    {"filters": {"channel": {"op": "=~", "values": ["(?x) .* # comment"]}}},
    {"filters": {"channel": {"op": "=~", "values": ["***:.*"]}}},
    {"filters": {"channel": {"op": "=~", "values": ["(((a*)*)*)*b" * 20]}}},
    {"filters": {"channel": {"op": "!~", "values": ["c$|^s3.*".replace("s3", "[s]3")]}}},
    {"filters": {"tenant": "b"}},
    {"filters": {"tenant": ["a", "b"]}},
    {"filters": {"tenant": "(a|b)"}},
    {"filters": {"tenant": {"op": "!=", "values": ["a"]}}, "by": ["tenant"]},
    {"filters": {"tenant": {"op": "=~", "values": [".*"]}}, "by": ["tenant"]},
    {"filters": {"tenant": {"op": "=~", "values": ["a)|(?:.*"]}}, "by": ["tenant"]},
    {"filters": {"tenant": "a' OR 'b"}},
    {"filters": [{"key": "tenant", "operator": "=|", "values": ["a", "b"]}]},
    {"adhocFilters": [{"key": "channel' OR 1=1 --", "operator": "=", "value": "x"}]},
    {"adhocFilters": [{"key": "channel", "operator": "LIKE '%' OR", "value": "x"}]},
    {"timezone": "Europe/Amsterdam'; SET ROLE postgres; --"},
    {"timezone": "UTC', true), set_config('kpi.tenants', '[\"b\"]"},
    {"timezone": "../../../../etc/passwd"},
    {"interval": "day'); DROP VIEW kpi.messages; --"},
    {"granularity": "hour' OR '1'='1"},
    {"compare": "previous'; SELECT 1/0; --"},
    {"shape": "total', now(), now()) AS a; --"},
    {"from": "2026-03-01T00:00:00Z'; SELECT pg_sleep(10); --"},
    {"to": "infinity"},
    {"kpi": None, "list": "channels; SELECT * FROM kpi_data.channel"},
    {"kpi": None, "list": "entities($1, 'tenant') --"},
    {"kpi": None, "list": "tenants"},
    {"kpi": None, "list": "nps_answers", "filters": {"segment": "detractors' OR tenant_no > 0 --"}},
    {"list": "hits", "offset": -1},
    {"list": "hits", "filters": {"channel": "c' UNION SELECT * FROM kpi_data.event --"}},
    {"kpi": None, "list": "after_sales_tree", "expanded": ['["l\'); SELECT pg_sleep(10); --"]']},
    {"refId": 'A"},{"tenant":"b'},
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    (
        "/query",
        {"range": MARCH, "targets": [{"target": "messages'; DROP TABLE kpi_data.event; --"}]},
    ),
    ("/query", {"range": MARCH, "targets": [{"target": "messages", "refId": '"}]; SELECT 1; --'}]}),
    (
        "/query",
        {
            "range": MARCH,
            "targets": [{"target": "messages", "payload": {"by": ["tenant"]}}],
            "scopedVars": {"tenant": "b"},
        },
    ),
    (
        "/query",
        {
            "range": MARCH,
            "filters": [{"key": "tenant", "operator": "=", "value": "b"}],
            "targets": [{"target": "messages"}],
        },
    ),
    ("/search", {"target": "%' UNION SELECT id, text FROM kpi_data.event --"}),
    ("/metrics", {"metric": "'; SELECT pg_sleep(10); --"}),
    ("/metric-payload-options", {"metric": "messages' --", "name": "by"}),
    ("/metric-payload-options", {"metric": "messages", "name": "by'; --"}),
    ("/variable", {"payload": {"dim": "channel FROM kpi_data.event; --"}}),
    (
        "/variable",
        {"payload": {"dim": "channel", "filters": {"tenant": {"op": "=~", "values": ["b|a"]}}}},
    ),
    ("/variable", {"payload": {"list": "experiences'; --"}}),
    ("/tag-values", {"key": "channel') UNION SELECT text FROM kpi_data.event --"}),
    ("/tag-values", {"key": "tenant"}),
    ("/annotations", {"range": MARCH, "annotation": {"query": "SELECT * FROM kpi_data.event"}}),
]
GETS = [
    "/export/messages.csv?by=channel;DROP TABLE kpi_data.event",
    "/export/messages.csv?where=tenant=b",
    "/export/messages.csv?where=channel=c' OR '1'='1",
    "/export/messages.csv?where=channel' OR '1'='1=c",
    "/export/messages' UNION SELECT text FROM kpi_data.event --.csv",
    "/export/../../etc/passwd.csv",
    "/export/nps_answers.csv?segment=detractors' OR '1'='1",
    "/export/messages.csv?timezone=UTC'; --&from=0'; --",
    "/?tenant=b",
    "/?tenant=a' OR '1'='1",
    "/?token=' OR '1'='1",
]
AUTHORIZATIONS = [
    "Bearer ' OR '1'='1",
    "Bearer x' UNION SELECT hash FROM kpi_admin.token --",
    "Bearer {t}\tBearer x",
    "Bearer {t}, Bearer ' OR 1=1",
]


@pytest.fixture
def both(database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("CHATKPI_RATE", "100000")
    records = RECORDS + [{"tenant": "b", **record} for record in OF_B]
    return served(database, records, tmp_path, monkeypatch)


def answers(client: Client, sent: dict[str, str]) -> list[TestResponse]:
    """What is answered to every attempt."""
    found = []
    for change in ROWS:
        for shape in {"series", change.get("shape", "total")}:
            found.append(
                client.post(
                    "/rows", {"kpi": "messages", **MARCH, "shape": shape, **change}, headers=sent
                )
            )
    found += [client.post(path, body, headers=sent) for path, body in OTHERS]
    html = {**sent, "Accept": "text/html", "Cookie": f"chatkpi={sent['Authorization'][7:]}"}
    found += [client.get(quote(path, safe="/?&="), headers=html) for path in GETS]
    found += [
        client.get(path, headers={**html, "Authorization": ""})
        for path in ("/", "/metrics", "/ready", "/openapi.json")
    ]
    for text in AUTHORIZATIONS:
        header = {"Authorization": text.format(t=sent["Authorization"][7:])}
        found.append(client.post("/rows", {"kpi": "messages", **MARCH}, headers=header))
        assert found[-1].status_code == 401, text
    found.append(client.http.post("/session", data={"token": "' OR '1'='1"}))
    return found


def test_attempts(both: Client) -> None:
    assert len(ROWS) + len(OTHERS) + len(GETS) + len(AUTHORIZATIONS) >= 60
    a = {
        "Authorization": f"Bearer {tokens.create(both.connection, chr(39) + '; DROP TABLE kpi_admin.token; --', ['a'])}"
    }
    reached(both.connection)  # makes the extension
    before = both.connection.execute(COUNT).fetchone()
    for answer in answers(both, a):
        assert answer.status_code < 500, answer.text
        assert MARK not in answer.text, answer.text
        assert '"b"' not in answer.text, answer.text
        if answer.status_code >= 400:
            assert list(answer.json) == ["message", "code", "detail", "hint"]
    assert both.connection.execute(COUNT).fetchone() == before
    total = {"kpi": "messages", "shape": "total", **MARCH}
    assert both.rows(total, headers=a) == [{"value": 5}]
    assert (
        MARK in both.post("/variable", {"payload": {"dim": "channel"}}).text
    )  # whoever may, sees it
    assert len(reached(both.connection)) > 10


def reached(connection: psycopg.Connection[Any]) -> set[str]:
    """The statements that servers sent to a database, parameters being $1, $2, …; all are known.

    Where PostgreSQL has dropped a text in the meantime, it shows the constants in it as they are:
    such a statement is known in both spellings.
    """
    with psycopg.connect(as_superuser(connection.info.dsn)) as superuser:
        superuser.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    rows = connection.execute(
        "SELECT DISTINCT query FROM public.pg_stat_statements WHERE userid = 'kpi_server'::regrole AND toplevel "
        "AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchall()
    found = {" ".join(query.split()) for (query,) in rows}
    assert found <= set(STATEMENTS.read_text().splitlines())
    return found


def test_every_statement_is_a_constant_of_the_program() -> None:
    """None is put together from texts: each is in a source, parameters aside."""
    folder = Path(create_app.__code__.co_filename).parent
    sources = " ".join("\n".join(path.read_text() for path in folder.glob("*.py")).split())
    for statement in STATEMENTS.read_text().splitlines():
        if statement.startswith(("SELECT kpi_http", "SELECT * FROM kpi_http", "SELECT starts")):
            assert statement.split("(")[0] in sources, statement
