"""The page for people: what it shows, and that what it says to paste gives the same number."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from pathlib import Path

import pytest

from datasource.protocol.app import create_app
from datasource.protocol.page import behind, lines, shown, ways
from tests.conftest import Databases
from tests.datasource.protocol.client import Client, served
from tests.datasource.protocol.conftest import RECORDS
from tests.datasource.protocol.test_errors import refused

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def recent(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The small world, eighteen days after its events."""
    folder: Path = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield served(database, RECORDS, folder, monkeypatch, "2026-03-20T12:00:00Z")


def page(client: Client, address: str = "/", tenants: list[str] | None = None) -> str:
    token = client.token(tenants)["Authorization"].removeprefix("Bearer ")
    browser = create_app(client.url).test_client()
    browser.set_cookie("chatkpi", token)
    answer = browser.get(address, headers=HTML)
    assert answer.status_code == 200, answer.text
    assert "script-src 'nonce-" in answer.headers["Content-Security-Policy"]
    return answer.text


def test_every_number_is_had_by_what_the_page_says(recent: Client) -> None:
    articles = re.findall(r'<article id="(\w+)">(.*?)</article>', page(recent), re.DOTALL)
    assert len(articles) == len(recent.rows({"list": "catalog"}))
    known = 0
    for kpi, text in articles:
        [value] = re.findall(r'<data value="(.*?)">', text)
        sql, rows, query = (
            unescape(one) for one in re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL)
        )
        [(number,)] = recent.connection.execute(sql).fetchall()
        assert number == (None if value == "null" else Decimal(value)), kpi
        wanted = None if value == "null" else float(value)
        assert recent.rows(json.loads(rows)) == [{"value": wanted}], kpi
        assert recent.post("/query", json.loads(query)).json[0]["rows"] == [[wanted]], kpi
        known += bool(wanted)
    assert known > 20


def test_the_range_is_of_the_tenants_zone(recent: Client) -> None:
    text = unescape(page(recent))
    assert "18 Feb to 19 Mar 2026 (Europe/Amsterdam)" in text and "seconds behind" in text
    assert "'2026-02-18T00:00:00+01:00', '2026-03-20T00:00:00+01:00'" in text
    assert "'2026-03-01T00:00:00+01:00', '2026-04-01T00:00:00+02:00'" in text  # of months


def test_tenants(recent: Client) -> None:
    both = page(recent)
    assert '<option value="a" selected>Ámo' in both and '<option value="b">b' in both
    assert "<h1>b</h1>" in page(recent, "/?tenant=b")
    assert "<select" not in page(recent, tenants=["b"])
    assert "<h1>new</h1>" in page(recent, tenants=["new"])
    browser = create_app(recent.url).test_client()
    browser.set_cookie("chatkpi", recent.token(["b"])["Authorization"].removeprefix("Bearer "))
    refused(browser.get("/?tenant=a", headers=HTML), 403, "forbidden_tenant")


def test_a_token_that_is_not_valid_is_asked_for_again(recent: Client) -> None:
    browser = create_app(recent.url).test_client()
    browser.set_cookie("chatkpi", "x")
    answer = browser.get("/", headers=HTML)
    assert "<form" in answer.text and "The token is not valid." in answer.text


def test_without_data(database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No data yet" in page(served(database, [], tmp_path, monkeypatch))


def test_texts() -> None:
    assert [
        shown(*one)
        for one in (("null", "none"), ("1234", "none"), ("43", "percent"), ("-1234.56", "minutes"))
    ] == ["–", "1,234", "43.0", "-1,234.6"]
    assert shown("1" + "0" * 99, "minutes") == "1" + ",000" * 33
    assert [behind(one) for one in (None, 0, 119, 120, 7200, 864000)] == [
        "0 seconds behind",
        "0 seconds behind",
        "119 seconds behind",
        "2 minutes behind",
        "2 hours behind",
        "10 days behind",
    ]
    assert [one["line"] for one in lines([1, None, 0, 2])] == [
        "-1.0,16.0 1.0,16.0",
        "80.0,31.0 120.0,1.0",
    ]
    assert list(lines([])) == list(lines([None])) == []
    assert (
        "''" in ways("nps", "it's", "", "")["psql"]
        and '"op"' in ways("nps", "(a|b)", "", "")["psql"]
    )


def test_through_grafana_s_proxy(recent: Client) -> None:
    """It has a header in place of a cookie, and an address of its own."""
    answer = recent.get("/?tenant=a", headers={**recent.headers, **HTML})
    assert answer.status_code == 200 and 'id="messages"' in answer.text
    assert '<form action="">' in answer.text and 'href="/' not in answer.text
