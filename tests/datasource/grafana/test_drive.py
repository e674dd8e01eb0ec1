"""Clicks in a browser do what the dashboards promise: `pytest -m grafana`.

CHATKPI_GRAFANA is Grafana's address with a login, as in `test_grafana.py`; CHATKPI_CHROMIUM is the
program of the browser, which the package `playwright` drives.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

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
        # Conversations lie elsewhere: what opens them is seen, and nothing is asked of the world.
        context.route(is_elsewhere, lambda route: route.fulfill(body="elsewhere"))
        context.set_default_timeout(60_000)
        yield context.new_page()
        browser.close()


def is_elsewhere(url: str) -> bool:
    """Return whether an address is not that of the Grafana."""
    return urlsplit(url).hostname != urlsplit(os.environ["CHATKPI_GRAFANA"]).hostname


def opened(page: Any, board: str, **more: str) -> None:
    """Open an English dashboard over the sixty days up to yesterday, with variables set."""
    given = "".join(f"&var-{name}={value}" for name, value in more.items())
    page.goto(f"/d/chatkpi-en-{board}?from={SPAN['from'][0]}&to={SPAN['to'][0]}{given}")


def panel(page: Any, title: str) -> Any:
    """Return the panel with this title."""
    return page.locator(f'section[data-testid="{HEADER} {title}"]')


def number(page: Any, title: str) -> str:
    """Return the number that the panel with this title shows."""
    content = panel(page, title).get_by_test_id("data-testid panel content")
    content.get_by_text(re.compile(r"^[\d,]+$")).first.wait_for()
    return str(content.get_by_text(re.compile(r"^[\d,]+$")).first.inner_text())


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


def test_clicks_in_a_list_of_several_metrics_add_one_and_take_it_away(page: Any) -> None:
    opened(page, "tenant")
    metrics = panel(page, "Metrics")
    metrics.get_by_text("○ New customers").click()
    metrics.get_by_text("● New customers").wait_for()
    assert metrics.get_by_text("●").count() == 3
    panel(page, "KPIs over time").first.get_by_text("New customers").first.wait_for()
    metrics.get_by_text("● Sessions", exact=True).click()
    metrics.get_by_text("○ Sessions", exact=True).wait_for()
    there = variables(page)
    assert there["var-metrics"] == ["sessions_with_conversation", "new_customers"]
    assert there.items() >= SPAN.items()


def test_a_panel_has_a_link_to_its_numbers_as_a_file(page: Any) -> None:
    opened(page, "tenant")
    shown = number(page, "Sessions").replace(",", "")
    panel(page, "Sessions").get_by_label("Panel links").click()
    address = page.get_by_role("link", name="CSV: Sessions", exact=True).get_attribute("href")
    answer = page.context.request.get(address)
    assert answer.ok and answer.headers["content-disposition"].startswith("attachment")
    head, row = answer.body().decode("utf-8-sig").splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=True))["value"] == shown


def test_the_other_language_shows_the_same(page: Any) -> None:
    opened(page, "experience-overview", tenant="vondelmarkt", experience="exp-1")
    shown = number(page, "Sessions")
    page.get_by_label("Dashboard controls menu").click()
    page.get_by_text("Nederlands", exact=True).click()
    panel(page, "Sessies").first.wait_for()
    assert urlsplit(page.url).path.startswith("/d/chatkpi-nl-experience-overview")
    there = variables(page)
    kept = {"var-tenant": ["vondelmarkt"], "var-experience": ["exp-1"]}
    assert there.items() >= (SPAN | kept).items()
    assert number(page, "Sessies") == shown


def test_a_conversation_opens_where_it_is_kept(page: Any) -> None:
    opened(page, "after-sales-funnel", tenant="vondelmarkt")
    conversation = panel(page, "Invited, not joined").locator("a[target=_blank]").first
    name, address = conversation.inner_text(), conversation.get_attribute("href")
    with page.context.expect_page() as caught:
        conversation.click()
    caught.value.wait_for_url(address)
    assert is_elsewhere(address) and name in address
    caught.value.close()


def test_links_keep_what_was_chosen(page: Any) -> None:
    opened(page, "tenant", tenant="waterland")
    kept = SPAN | {"var-tenant": ["waterland"], "var-datasource": ["chatkpi"]}
    panel(page, "Per experience").locator("a[href*='var-experience']").first.click()
    panel(page, "Funnel").wait_for()
    experience = {"var-experience": variables(page)["var-experience"]}
    assert experience["var-experience"][0] != "$__all"
    page.get_by_test_id("data-testid Dashboard link dropdown").click()
    page.get_by_role("link", name="Drill-down", exact=True).click()
    panel(page, "Modules in their order").wait_for()
    assert variables(page).items() >= (kept | experience).items()
    page.get_by_role("link", name="Start", exact=True).click()
    page.get_by_role("link", name="Which bot brings in most leads?").click()
    panel(page, "Per bot").wait_for()
    assert variables(page).items() >= kept.items()


def follow(page: Any, title: str, link: str) -> None:
    """Follow a link of the panel with this title."""
    panel(page, title).get_by_label("Panel links").click()
    page.get_by_role("link", name=link, exact=True).click()
    page.wait_for_url("**/chatkpi-en-behind-the-number**")


def hits(page: Any, kpi: str, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a KPI counted in the sixty days up to yesterday, as the server lists it."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts, ends = today - timedelta(days=60), today - timedelta(milliseconds=1)
    span = {"from": starts.isoformat(), "to": ends.isoformat(), "timezone": "UTC"}
    asked = {"list": "hits", "kpi": kpi, "filters": filters, **span}
    answer = page.context.request.post("/api/datasources/proxy/uid/chatkpi/rows", data=asked)
    assert answer.ok, answer.text()
    found: list[dict[str, Any]] = answer.json()
    return found


def cells(page: Any, title: str) -> list[list[str]]:
    """Return the texts of the cells of a table, of the rows that are in sight."""
    rows = panel(page, title).locator("[role=row]:has([role=gridcell])")
    rows.first.wait_for()
    return [one.locator("[role=gridcell]").all_inner_texts() for one in rows.all()]


@pytest.mark.parametrize("experiences", [["exp-1"], ["exp-1", "exp-2"], ["$__all"]])
def test_behind_a_number_stands_what_it_counted_with_its_filters(
    page: Any, experiences: list[str]
) -> None:
    given = "&var-experience=".join(experiences)
    opened(page, "experience-overview", tenant="vondelmarkt", experience=given)
    shown = number(page, "Chat starts")
    follow(page, "Chat starts", "Behind the number: Chat starts")
    panel(page, "What was counted").wait_for()
    there = variables(page)
    kept = {"var-tenant": ["vondelmarkt"], "var-kpi": ["chat_starts"], "var-folder": ["$__all"]}
    assert there.items() >= (SPAN | kept | {"var-experience": experiences}).items()
    assert number(page, "Chat starts") == shown
    narrowed = dict(cells(page, "Narrowed to"))
    assert narrowed.pop("Time range")
    is_all = experiences == ["$__all"]
    assert narrowed == ({} if is_all else {"Experience": ", ".join(experiences)})
    counted = hits(page, "chat_starts", {"tenant": "vondelmarkt", "experience": experiences})
    seen = [row[4] for row in cells(page, "What was counted")]
    assert seen and seen == [row["id"] for row in counted[: len(seen)]]
    if len(counted) < 1000:  # the page holds no more
        panel(page, "What was counted").get_by_text(f"of {len(counted)} rows").wait_for()


def test_what_is_behind_a_number_is_narrowed_to_any_text(page: Any) -> None:
    odd = "a\"b\\c'&#+%,{d}"
    opened(page, "behind-the-number", tenant="vondelmarkt", kpi="sessions", device=quote(odd))
    assert dict(cells(page, "Narrowed to"))["Device"] == odd
    assert number(page, "Sessions") == "0"
