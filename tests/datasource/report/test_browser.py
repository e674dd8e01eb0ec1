"""The mail and the pages that its links open, in a browser: looks, and what keeps people out."""

import re
from base64 import b64encode
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from datasource.protocol import tokens
from tests.browser import LOOKS, barriers, ground, keep, opened, sideways, started, tab_to
from tests.datasource.protocol.server import serving
from tests.datasource.report.conftest import SETTINGS, Office


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as found:
        yield found


def as_shown(mail: EmailMessage) -> str:
    """Return the HTML of a mail as a mail program shows it: with the pictures that came along."""
    page = mail.get_body(("html",))
    assert page
    text = str(page.get_content())
    for part in mail.walk():
        if (name := part["Content-ID"]) and isinstance(part, EmailMessage):
            picture = b64encode(part.get_content()).decode()
            text = text.replace(f"cid:{name.strip('<>')}", f"data:image/png;base64,{picture}")
    return text


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
@pytest.mark.parametrize("language", ["en", "nl"])
def test_the_mail_can_be_read_everywhere_and_by_everybody(
    browser: Browser, office: Office, size: str, scheme: str, language: str
) -> None:
    office.subscribe("ann@example.org", language=language)
    office.send()
    [mail] = office.box.taken
    with opened(browser, size=size, scheme=scheme) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.set_content(as_shown(mail))
        assert [url for url in asked if not url.startswith("data:")] == [], "it loads nothing"
        assert sideways(page) == 0 and barriers(page) == []
        assert (ground(page) < 64) == (scheme == "dark")
        picture = page.get_by_role("img")
        assert picture.evaluate("one => one.complete && one.naturalWidth > 0")
        assert len(picture.get_attribute("alt") or "") > 50
        assert page.get_by_role("row").count() >= 5
        keep(page, f"mail-{language}-{size}-{scheme}")


@pytest.fixture
def site(
    office: Office, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Serve the pages of reports; give the address."""
    monkeypatch.setenv("CHATKPI_REPORT_URL", SETTINGS.url)
    monkeypatch.setenv("CHATKPI_REPORT_DOMAINS", "example.org")
    with serving(office.url, tmp_path / "log") as server:
        yield f"http://127.0.0.1:{server.port}"


def link_in(mail: EmailMessage) -> str:
    """Return the path of the link of the server in a mail."""
    body = mail.get_body(("plain",))
    assert body
    [found] = re.findall(rf"{SETTINGS.url}(/report/\S+)", body.get_content())
    return str(found)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_reader_starts_and_ends_a_report_by_keys_alone(
    browser: Browser, office: Office, site: str, size: str, scheme: str
) -> None:
    token = tokens.create(office.connection, "page", ["a"])
    with opened(browser, size=size, scheme=scheme) as page:

        def look(name: str) -> None:
            assert sideways(page) == 0 and barriers(page) == []
            assert (ground(page) < 64) == (scheme == "dark")
            keep(page, f"report-{name}-{size}-{scheme}")

        asked = page.context.request.get(
            f"{site}/report/bell?tenant=a&experience=x&language=nl",
            headers={"Authorization": f"Bearer {token}"},
            max_redirects=0,
        )
        page.goto(asked.headers["location"].replace(SETTINGS.url, site))
        look("ask")
        tab_to(page, "INPUT ")
        page.keyboard.type("ann@example.org")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Kijk in je mailbox").wait_for()
        look("asked")
        office.send()
        page.set_content(as_shown(office.box.taken[-1]))
        look("question")
        for name, button, done in (
            ("start", "Start het rapport", "Het rapport begint"),
            ("stop", "Stop het rapport", "Het rapport is gestopt"),
        ):
            page.goto(site + link_in(office.box.taken[-1]))
            look(name)
            tab_to(page, f"BUTTON {button}")
            page.keyboard.press("Enter")
            page.get_by_role("heading", name=done).wait_for()
            look(f"{name}-done")
            office.send()
    assert [mail["Subject"] for mail in office.box.taken] == [
        "Wil je het dagrapport over Quiz?",
        "Quiz: Sessies 1 op 2 mrt 2026",
    ]


def test_a_wrong_address_is_told_in_place(browser: Browser, office: Office, site: str) -> None:
    token = tokens.create(office.connection, "page", ["a"])
    with opened(browser) as page:
        asked = page.context.request.get(
            f"{site}/report/bell?tenant=a&experience=x",
            headers={"Authorization": f"Bearer {token}"},
            max_redirects=0,
        )
        page.goto(asked.headers["location"].replace(SETTINGS.url, site))
        form = {"address": "ann@example.com", "experience": "x"}
        answer = page.context.request.post(page.url, form=form, headers={"Accept": "text/html"})
        assert answer.status == 422
        page.set_content(answer.text())
        assert page.get_by_role("alert").is_visible()
        assert page.get_by_label("E-mail address").input_value() == "ann@example.com"
        assert barriers(page) == []
