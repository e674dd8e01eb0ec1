"""Clicks in a browser do what the dashboards promise: `pytest -m grafana`.

CHATKPI_GRAFANA is Grafana's address with a login, as in `test_grafana.py`; CHATKPI_CHROMIUM is the
program of the browser, which the package `playwright` drives.
"""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytestmark = pytest.mark.grafana
SPAN = {"from": ["now-60d/d"], "to": ["now-1d/d"]}
HEADER = "data-testid Panel header"


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """Give a page of a browser that is logged in to the Grafana."""
    url, program = os.environ.get("CHATKPI_GRAFANA"), os.environ.get("CHATKPI_CHROMIUM")
    if not url or not program:
        pytest.skip("CHATKPI_GRAFANA or CHATKPI_CHROMIUM is not set")
    driver = pytest.importorskip("playwright.sync_api")
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.hostname}:{parts.port or 80}"
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        context = browser.new_context(
            base_url=address, viewport={"width": 1440, "height": 1000}, timezone_id="UTC"
        )
        login = {"user": parts.username, "password": parts.password}
        assert context.request.post("/login", data=login).ok
        page = context.new_page()
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def opened(page: Any, board: str) -> None:
    """Open an English dashboard over the sixty days up to yesterday."""
    page.goto(f"/d/chatkpi-en-{board}?from={SPAN['from'][0]}&to={SPAN['to'][0]}")


def panel(page: Any, title: str) -> Any:
    """Return the panel with this title."""
    return page.locator(f'section[data-testid="{HEADER} {title}"]')


def variables(page: Any) -> dict[str, list[str]]:
    """Return what the address of the page says."""
    return parse_qs(urlsplit(page.url).query)


def test_a_click_on_a_metric_shows_it_in_the_charts_and_marks_it(page: Any) -> None:
    opened(page, "messaging-device")
    panel(page, "Metrics").get_by_text("○ Leads").click()
    panel(page, "Metrics").get_by_text("● Leads").wait_for()
    panel(page, "Leads per device").first.wait_for()
    assert panel(page, "Metrics").get_by_text("●").count() == 1
    assert panel(page, "Active conversations per device").count() == 0
    assert variables(page).items() >= (SPAN | {"var-metric": ["leads"]}).items()


def test_a_click_on_a_module_opens_it_within_its_experience(page: Any) -> None:
    opened(page, "drill-down")
    panel(page, "Modules in their order").locator("a[href*='var-module']").first.click()
    panel(page, "Module visits").wait_for()
    there = variables(page)
    assert there.items() >= SPAN.items()
    assert there["var-experience"][0].startswith("exp-")
    assert there["var-module"][0].startswith("mod-")


def test_a_place_of_the_tree_opens_and_closes(page: Any) -> None:
    opened(page, "after-sales-metrics")
    tree = panel(page, "Location → department → user → channel")
    tree.get_by_text("+", exact=True).first.wait_for()
    before = tree.locator("[role=row]").count()
    tree.get_by_text("+", exact=True).first.click()
    tree.get_by_text("−", exact=True).first.wait_for()
    assert tree.locator("[role=row]").count() > before
    tree.get_by_text("−", exact=True).first.click()
    tree.get_by_text("−", exact=True).first.wait_for(state="detached")
    assert tree.locator("[role=row]").count() == before
    assert variables(page).items() >= SPAN.items()
