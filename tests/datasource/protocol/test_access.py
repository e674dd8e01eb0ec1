"""Who may ask, what they see, and what happens when the database cannot answer."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import conninfo_to_dict

from datasource.protocol import tokens
from datasource.protocol.app import create_app
from datasource.protocol.database import Database
from datasource.protocol.settings import Settings
from datasource.protocol.status import GAUGES
from datasource.store.errors import StoreError
from tests.conftest import Databases
from tests.datasource.protocol.client import MARCH, Client, served
from tests.datasource.protocol.conftest import RECORDS
from tests.datasource.protocol.test_errors import refused

TOTAL = {"kpi": "messages", "shape": "total", **MARCH}


def value(client: Client, filters: object = None, **more: Any) -> Any:
    return client.rows({**TOTAL, "filters": filters}, **more)[0]["value"]


def test_tokens_see_their_tenants(client: Client) -> None:
    a, both = client.token(["a"]), client.token(["b", "a", "a"])
    assert [value(client, headers=h) for h in (a, both, client.headers)] == [5, 7, 7]
    assert value(client, {"tenant": "b"}, headers=both) == 2
    assert value(client, {"tenant": {"op": "!=", "values": ["b"]}}, headers=a) == 5
    assert value(client, {"tenant": {"op": "=~", "values": ["[bc]"]}}, headers=a) == 0
    assert value(client, {"tenant": "new"}) == 0
    for tenant in ("b", "new", ["a", "b"], "(a|b)", '["b"]'):
        answer = client.post("/rows", {**TOTAL, "filters": {"tenant": tenant}}, headers=a)
        refused(answer, 403, "forbidden_tenant")
    later = client.token(["new"])
    assert value(client, {"tenant": "new"}, headers=later) == 0


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        "Basic eDp5",
        "Bearer {t},Bearer {t}",
        "Bearer x, Bearer {t}",
        "Bearer {t} x",
        "{t}",
        "Bearer {t},",
        "Bearer é",
    ],
)
def test_one_valid_token(client: Client, header: str) -> None:
    token = client.headers["Authorization"].removeprefix("Bearer ")
    sent = {"Authorization": header.format(t=token)}
    answer = client.post("/rows", TOTAL, headers=sent)
    refused(answer, 401, "unauthorized")
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert (
        client.post("/rows", TOTAL, headers={"Authorization": f"bearer {token}"}).status_code == 200
    )
    for path in ("/query", "/search", "/metrics", "/variable", "/annotations", "/tag-keys"):
        refused(client.post(path, {}, headers=sent), 401)
    refused(client.get("/export/messages.csv", headers=sent), 401)


def test_tokens_end(client: Client) -> None:
    until = datetime.now(UTC) + timedelta(seconds=-1)
    old = tokens.create(client.connection, "old", None, until)
    refused(client.post("/rows", TOTAL, headers={"Authorization": f"Bearer {old}"}), 401)
    new = {"Authorization": f"Bearer {tokens.create(client.connection, 'new', ['a'])}"}
    assert value(client, headers=new) == 5
    with pytest.raises(StoreError, match="there is a token new"):
        tokens.create(client.connection, "new", None)
    tokens.revoke(client.connection, "new")
    refused(client.post("/rows", TOTAL, headers=new), 401)
    with pytest.raises(StoreError):
        tokens.revoke(client.connection, "new")
    tokens.create(client.connection, "new", None)
    with pytest.raises(psycopg.errors.CheckViolation):
        tokens.create(client.connection, "none", [])


def test_only_the_hash_is_kept(client: Client) -> None:
    token = tokens.create(client.connection, "secret", None)
    kept = client.connection.execute("SELECT t::text FROM kpi_admin.token AS t").fetchall()
    assert token not in str(kept) and tokens.digest(token).hex() in str(kept)


def test_a_cookie_is_for_looking(client: Client) -> None:
    token = client.headers["Authorization"].removeprefix("Bearer ")
    browser = create_app(client.url).test_client()
    html = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert b"<form" in browser.get("/", headers=html).data
    assert browser.get("/").json == {"name": "chatkpi", "version": "0.1.0"}
    refused(browser.post("/session", data={"token": "x"}), 401)
    answer = browser.post("/session", data={"token": token}, base_url="https://localhost")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Secure", "Path=/"))
    answer = browser.get(f"/?token={token}", headers={"Sec-Fetch-Site": "none"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Secure" not in answer.headers["Set-Cookie"]
    assert b'name="token"' not in browser.get("/", headers=html).data
    assert browser.get("/export/messages.csv").status_code == 200
    refused(browser.post("/rows", json=TOTAL), 401)
    refused(browser.get("/export/messages.csv", headers={"Authorization": "Bearer x"}), 401)


def test_a_link_of_which_nothing_is_known_is_confirmed(client: Client) -> None:
    token = client.headers["Authorization"].removeprefix("Bearer ")
    answer = client.http.get(f"/?token={token}")
    assert answer.status_code == 200 and "Set-Cookie" not in answer.headers
    assert f'value="{token}"' in answer.text and 'action="/session"' in answer.text
    refused(client.http.get("/?token=chatkpi_wrong"), 401)
    assert client.http.post("/session", data={"token": token}).status_code == 303


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Origin": "http://localhost"}, 303),
        ({"Origin": "https://LOCALHOST"}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://name.of.a.proxy"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://localhost@evil.example"}, 403),
        ({"Origin": "http://evil.example/localhost"}, 403),
        ({"Origin": "localhost"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://localhost, https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example", "Forwarded": "host=evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
    ],
)
def test_no_other_site_signs_in(client: Client, headers: dict[str, str], status: int) -> None:
    token = client.headers["Authorization"].removeprefix("Bearer ")
    answers = [
        client.http.post("/session", data={"token": token}, headers=headers),
        client.http.get(f"/?token={token}", headers=headers),
    ]
    for answer in answers:
        assert answer.status_code == status
        assert ("Set-Cookie" in answer.headers) == (status == 303)
        if status == 403:
            refused(answer, 403, "foreign_origin")


def test_a_form_is_small(client: Client) -> None:
    refused(client.http.post("/session", data={"token": "x" * 5000}), 413, "too_large")
    refused(client.http.post("/session", data={"token": "x" * 1000}), 401)


def test_the_login_can_do_nothing_else(client: Client) -> None:
    relations = client.connection.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname LIKE 'kpi%' "
        "UNION ALL SELECT format('%I.%I', schemaname, matviewname) FROM pg_matviews"
    ).fetchall()
    login = psycopg.conninfo.make_conninfo(client.url, user="kpi_server")
    with psycopg.connect(login, autocommit=True) as connection:
        for (relation,) in relations:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT FROM {relation}")
        for call in ("kpi_admin.hits('nps',now(),now(),'[]',null,null,1,0)", "kpi_http.list(null)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {call}")
    everyone = psycopg.conninfo.make_conninfo(client.url, user="kpi_stranger")
    client.connection.execute("DROP ROLE IF EXISTS kpi_stranger; CREATE ROLE kpi_stranger LOGIN")
    with (
        psycopg.connect(everyone, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT kpi_http.enter('')")


def test_rate_limit(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATKPI_RATE", "2")
    limited = create_app(client.url).test_client()
    one, other = client.token(None), client.token(None)
    for _ in range(3):  # a minute may end meanwhile
        answers = [limited.post("/rows", json=TOTAL, headers=one) for _ in range(3)]
        if answers[2].status_code == 429:
            break
    refused(answers[2], 429, "too_many_requests")
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    html = {"Accept": "text/html"}
    refused(limited.get("/", headers={**one, **html}), 429, "too_many_requests")
    token = one["Authorization"].removeprefix("Bearer ")
    refused(limited.get(f"/?token={token}"), 429, "too_many_requests")
    refused(limited.post("/session", data={"token": token}), 429, "too_many_requests")
    assert limited.get("/", headers=html).status_code == 200
    assert limited.post("/rows", json=TOTAL, headers=other).status_code == 200
    assert limited.get("/health").status_code == 200


def test_busy(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasource.protocol.database.WAIT_SECONDS", 0.2)
    app = create_app(client.url, settings=Settings(connections=1))
    database = app.extensions["database"]
    with database.connection():
        answer = app.test_client().post("/rows", json=TOTAL, headers=client.headers)
    refused(answer, 429, "busy")
    assert answer.headers["Retry-After"]


def test_too_slow(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasource.protocol.database.STATEMENT_SECONDS", "0.001")
    slow = create_app(client.url).test_client()
    answer = slow.post("/rows", json={**TOTAL, "shape": "series"}, headers=client.headers)
    refused(answer, 503)
    assert answer.headers["Retry-After"]


def test_outage(database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = served(database, RECORDS, tmp_path, monkeypatch)
    monkeypatch.setattr("datasource.protocol.database.LOOK_SECONDS", 0.1)
    assert value(client) == 7
    name = conninfo_to_dict(client.url)["dbname"]
    client.connection.close()
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        for path in ("/rows", "/search") * 10:  # more than may wait
            answer = client.post(path, TOTAL)
            refused(answer, 503, "unavailable")
            assert answer.headers["Retry-After"]
        refused(client.get("/ready"), 503)
        assert client.get("/health").status_code == 200
        assert "chatkpi_database_up 0" in client.get("/metrics").text
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert value(client) == 7


def test_before_init(database: Databases) -> None:
    empty = create_app(database.new_database()).test_client()
    refused(empty.get("/ready"), 503, "unavailable")
    header = {"Authorization": "Bearer x"}
    refused(empty.post("/rows", json=TOTAL, headers=header), 503, "unavailable")


def test_ready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasource.protocol.status.KEPT_SECONDS", 0.0)
    assert client.get("/ready", headers={}).status_code == 200
    client.connection.execute(
        "INSERT INTO kpi_admin.load (loaded_at, taken) VALUES (now() - interval '20 minutes', 1)"
    )
    try:
        error = refused(client.get("/ready", headers={}), 503, "behind")
        assert error["message"] == "The numbers are 20 minutes behind."
        monkeypatch.setenv("CHATKPI_MAX_BEHIND", "30")
        assert create_app(client.url).test_client().get("/ready").status_code == 200
        assert "chatkpi_behind_seconds 120" in client.get("/metrics", headers={}).text
    finally:
        client.connection.execute("DELETE FROM kpi_admin.load WHERE taken = 1")


def test_strangers_who_ask_how_it_stands_ask_the_database_once_a_second(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetch(_database: Database, statement: str, *parameters: object) -> list[Any]:
        asked.append(statement)
        return [(0.0, 0.0, 0.0, 0.0)]

    monkeypatch.setattr("datasource.protocol.status.KEPT_SECONDS", 60.0)  # on a slow machine too
    monkeypatch.setattr(Database, "fetch", fetch)
    stranger = create_app(client.url).test_client()
    for _ in range(20):
        assert stranger.get("/ready").status_code == 200
        assert "chatkpi_database_up 1.0" in stranger.get("/metrics").text
    assert len(asked) == 1


def test_figures_for_prometheus(client: Client) -> None:
    answer = client.get("/metrics", headers={})
    assert answer.content_type.startswith("text/plain; version=")
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    kinds = {name: (family.type, bool(family.documentation)) for name, family in found.items()}
    gauges = ("info", "database_up", *GAUGES, "cache_bytes")
    expected = {f"chatkpi_{name}": ("gauge", True) for name in gauges}
    expected |= {f"chatkpi_cache_{name}": ("counter", True) for name in ("hits", "misses")}
    assert kinds == expected
    state = client.connection.execute("SELECT * FROM kpi_http.state()").fetchone()
    for name, value in list(zip(GAUGES, state, strict=True))[1:]:
        assert found[f"chatkpi_{name}"].samples[0].value == value
    for name in ("cache_hits", "cache_misses", "cache_bytes"):
        assert found[f"chatkpi_{name}"].samples[0].labels == {"worker": str(os.getpid())}


def test_headers_and_head(client: Client) -> None:
    for answer in (client.get("/"), client.get("/x"), client.post("/rows", TOTAL)):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert client.http.head("/health").data == b""
