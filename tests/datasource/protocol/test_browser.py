"""The page for people in a browser: at a desk and on a phone, light and dark, by keys alone."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page

from datasource.protocol import tokens
from tests.agreement import installed
from tests.browser import LOOKS, barriers, ground, keep, opened, sideways, started, tab_to
from tests.conftest import Databases
from tests.datasource.protocol.conftest import RECORDS
from tests.datasource.protocol.server import serving

NOW = "2026-03-20T12:00:00Z"


class Place(NamedTuple):
    """A server's address, a token for it, and a browser."""

    url: str
    token: str
    browser: Browser


@pytest.fixture(scope="module")
def place(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with started() as browser:
        folder = tmp_path_factory.mktemp("page")
        url, connection = installed(database, RECORDS, folder, NOW)
        token = tokens.create(connection, "page", None)
        with serving(url, folder / "log", CHATKPI_NOW=NOW) as server:
            yield Place(f"http://127.0.0.1:{server.port}/", token, browser)


def sign_in(page: Page, place: Place) -> None:
    page.goto(place.url)
    page.get_by_label("Token").fill(place.token)
    page.get_by_role("button", name="Open").click()
    page.get_by_role("heading", level=1, name="Ámo").wait_for()


def test_signing_in_over_plain_http_at_another_machine(place: Place) -> None:
    """There browsers do not say from which site a request is, and of a link not even the origin."""
    other_machine = place.url.replace("127.0.0.1", "kpi.test")
    with opened(place.browser) as page:
        sign_in(page, place._replace(url=other_machine))
    with opened(place.browser) as page:
        link = f'<a href="{other_machine}?token={place.token}">Numbers</a>'
        page.route(
            "http://evil.test/", lambda route: route.fulfill(body=link, content_type="text/html")
        )
        page.goto("http://evil.test/")
        page.get_by_text("Numbers").click()
        page.get_by_text("A link brought this token.").wait_for()
        assert page.context.cookies() == [] and barriers(page) == []
        page.get_by_role("button", name="Open").click()
        page.get_by_role("heading", level=1, name="Ámo").wait_for()
        assert place.token not in page.url


def test_a_person_signs_in_and_reads_a_definition(place: Place) -> None:
    with opened(place.browser, wrong="401") as page:
        page.goto(place.url)
        page.get_by_label("Token").fill("chatkpi_wrong")
        page.get_by_role("button", name="Open").click()
        page.get_by_text("The token is not valid.").wait_for()
        assert barriers(page) == []
        page.get_by_label("Token").fill(place.token)
        page.get_by_role("button", name="Open").click()
        page.get_by_role("heading", level=1, name="Ámo").wait_for()
    with opened(place.browser) as page:
        sign_in(page, place)
        assert place.token not in page.url and place.token not in page.content()
        article = page.locator("#sessions")
        assert article.get_by_role("heading").inner_text() == "Sessions"
        assert "session" in article.locator(".words p").inner_text().lower()
        page.reload()
        page.get_by_role("heading", level=1, name="Ámo").wait_for()


def test_a_person_chooses_a_tenant(place: Place) -> None:
    with opened(place.browser) as page:
        sign_in(page, place)
        page.get_by_label("Tenant").select_option("b")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("heading", level=1, name="b", exact=True).wait_for()


def test_what_is_copied_is_what_stands_there(place: Place) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(place.browser, permissions=permissions) as page:
        sign_in(page, place)
        article = page.locator("#sessions")
        article.locator("summary").click()
        copy = article.get_by_role("button", name="Copy").first
        copy.click()
        article.get_by_role("button", name="Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == article.locator("pre").first.inner_text()
        assert copied.startswith("SELECT value FROM kpi.total('sessions', ")


def test_keys_alone_are_enough(place: Place) -> None:
    with opened(place.browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(place.url)
        page.locator("input:focus").wait_for()  # one can type at once
        page.keyboard.type(place.token)
        page.keyboard.press("Enter")
        page.get_by_role("heading", level=1, name="Ámo").wait_for()
        tab_to(page, "SELECT Tenant")
        page.keyboard.type("b")
        assert page.get_by_label("Tenant").input_value() == "b"
        assert page.get_by_role("heading", level=1).inner_text() == "Ámo", "no jump while choosing"
        tab_to(page, "BUTTON Show")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid", "the focus is seen"
        page.keyboard.press("Enter")
        page.get_by_role("heading", level=1, name="b", exact=True).wait_for()
        tab_to(page, "SUMMARY The same in psql and Grafana")
        page.keyboard.press("Enter")
        tab_to(page, "BUTTON Copy")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()").startswith("SELECT value FROM kpi.")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_it_can_be_read_everywhere_and_by_everybody(place: Place, size: str, scheme: str) -> None:
    with opened(place.browser, size=size, scheme=scheme) as page:
        page.goto(place.url)
        assert sideways(page) == 0 and barriers(page) == []
        keep(page, f"sign-in-{size}-{scheme}")
        sign_in(page, place)
        page.locator("#sessions summary").click()
        assert sideways(page) == 0 and barriers(page) == []
        assert (ground(page) < 64) == (scheme == "dark")
        keep(page, f"page-{size}-{scheme}")
        page.goto(f"{place.url}docs/en/experience_overview")
        assert sideways(page) == 0 and barriers(page) == []
        keep(page, f"learn-{size}-{scheme}")
