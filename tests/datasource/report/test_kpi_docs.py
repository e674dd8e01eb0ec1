"""The generated pages are those of the definitions."""

from pathlib import Path

import pytest

from datasource.catalog import Catalog
from datasource.report.kpi_docs import build

PAGES = build(Catalog.read())


@pytest.mark.parametrize("path", PAGES)
def test_page_is_up_to_date(path: str) -> None:
    committed = (Path(__file__).parents[3] / path).read_text(encoding="utf-8")
    assert committed == PAGES[path], f"run python -m datasource.report.kpi_docs, and commit {path}"


def test_every_kpi_is_there() -> None:
    assert all(f"`{kpi_id}`" in page for page in PAGES.values() for kpi_id in Catalog.read().kpis)
