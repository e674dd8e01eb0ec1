"""A browser: Debian's Chromium, driven by Playwright, with what its pages complained of.

CHATKPI_CHROMIUM names another program. Where there is none, the tests that need one are skipped.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
LOOKS = [("desk", "light"), ("desk", "dark"), ("phone", "light"), ("phone", "dark")]
SERIOUS = ("serious", "critical")


def program() -> str:
    """Return the browser's program; skip the test when there is none."""
    found = os.environ.get("CHATKPI_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("there is no Chromium here, nor does CHATKPI_CHROMIUM name one")
    return found


@contextmanager
def started() -> Iterator[Browser]:
    """Start the browser, for which names below `test` are of this machine."""
    path = program()
    with sync_playwright() as playwright:
        names = "--host-resolver-rules=MAP *.test 127.0.0.1"
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", names]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, *, size: str = "desk", scheme: str = "light", wrong: str = "", **more: Any
) -> Iterator[Page]:
    """Give an empty page of a new visitor; at its end nothing may have gone wrong in it.

    `wrong`: words of the one complaint that is expected.
    """
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, **more)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda asked: complaints.append(f"{asked.url} failed"))
    yield page
    context.close()
    if wrong:
        assert len(complaints) == 1 and wrong in complaints[0]
    else:
        assert complaints == []


def barriers(page: Page) -> list[str]:
    """Return what axe-core finds that keeps people out: serious and critical only."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]}: {node['failureSummary']}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


def sideways(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    )


def ground(page: Page) -> int:
    """Return how light the page's ground is, from 0 to 255."""
    return int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))


def focused(page: Page) -> str:
    """Return what has the focus: its tag, and its words or label."""
    return str(
        page.evaluate(
            "(({tagName, textContent, ariaLabel}) => `${tagName} ${ariaLabel ?? textContent.trim()}`)"
            "(document.activeElement)"
        )
    )


def tab_to(page: Page, what: str, at_most: int = 200) -> None:
    """Press the tab key until something has the focus."""
    for _ in range(at_most):
        page.keyboard.press("Tab")
        if focused(page) == what:
            return
    raise AssertionError(f"the tab key does not reach {what}")


def keep(page: Page, name: str) -> None:
    """Keep a picture where CHATKPI_PICTURES says, to be looked at."""
    if folder := os.environ.get("CHATKPI_PICTURES"):
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=name.startswith("mail"))
