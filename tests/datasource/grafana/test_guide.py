"""The page that Learn opens: of every dashboard, in both languages, without a token."""

from html import unescape

import pytest

from datasource.catalog import Catalog
from datasource.grafana.guide import guides
from datasource.protocol.app import create_app
from tests.datasource.grafana.boards import BOARDS, PROXY

ADDRESSES = {
    path: link["url"].removeprefix(PROXY)
    for path, board in BOARDS.items()
    for link in board["links"]
    if link["title"] in ("Learn", "Uitleg")
}
HTTP = create_app("postgresql://x").test_client()


@pytest.mark.parametrize("path", BOARDS)
def test_learn_opens_the_dashboards_own_page(path: str) -> None:
    answer = HTTP.get(ADDRESSES[path])
    assert answer.status_code == 200 and answer.mimetype == "text/html"
    assert BOARDS[path]["title"] in unescape(answer.text) and "${" not in answer.text


def test_the_page_defines_what_the_dashboard_shows() -> None:
    text = unescape(HTTP.get("/docs/nl/experience_overview").text)
    title, definition = Catalog.read().kpis["bounces"].words["nl"]
    assert title in text and definition in text


@pytest.mark.parametrize(
    "address", ["/docs/en/nothing", "/docs/de/start", "/docs/en/%2e%2e", "/docs/en"]
)
def test_other_pages_are_not_there(address: str) -> None:
    assert HTTP.get(address).status_code == 404


def test_every_sister_has_a_page() -> None:
    names = set(guides())
    assert all(
        (guide.language, name) in names for guide in guides().values() for name, _ in guide.sisters
    )
