"""The generated pages are those of the definitions and of the input contract."""

import json
import re
from pathlib import Path

import pytest

from datasource.catalog import Catalog
from datasource.compile import compile_kpis
from datasource.documentation import dashboard_docs, pages
from datasource.documentation.lineage import ANY, Lineage, lineage
from datasource.documentation.record_docs import PATH, example
from datasource.grafana.boards import read, scenes
from datasource.grafana.frame import panels_of
from datasource.grafana.scene import uid
from datasource.store.contract import TYPES
from datasource.store.records import parse

CATALOG = Catalog.read()
PAGES = pages(CATALOG)


@pytest.mark.parametrize("path", PAGES)
def test_page_is_up_to_date(path: str) -> None:
    committed = (Path(__file__).parents[3] / path).read_text(encoding="utf-8")
    assert committed == PAGES[path], f"run make generate, and commit {path}"


def test_every_kpi_is_on_each_page() -> None:
    for path in ("docs/kpis.md", "docs/kpis.nl.md", PATH):
        page = PAGES[path]
        assert [kpi for kpi in CATALOG.kpis if f"`{kpi}`" not in page] == [], path


def test_every_type_and_field_of_records_is_on_its_page() -> None:
    for name, known in TYPES.items():
        section = PAGES[PATH].partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert section, name
        own = [field for field in known.own if field.name != "id"]
        assert [field.name for field in own if f"| `{field.name}` |" not in section] == [], name
        [line] = re.findall(r"```json\n(.*)\n```", section)
        assert line == example(known)


@pytest.mark.parametrize("name", TYPES)
def test_an_example_is_a_record_and_shows_what_is_needed(name: str) -> None:
    known = TYPES[name]
    record = json.loads(example(known))
    assert parse(example(known).encode()).table == known.table
    assert set(known.required) <= record.keys()
    assert record.keys() <= {field.name for field in known.fields}, "nothing that is not read"


def test_the_examples_join_with_one_another() -> None:
    """What an example names is an entity of the page; of the modules, of which there are several, one is."""
    records = [json.loads(example(known)) for known in TYPES.values()]
    ids = {
        record["type"]: record["id"] for record in records if "at" not in record and "id" in record
    }
    named = {(kind, record[kind]) for record in records for kind in ids if kind in record}
    assert {kind for kind, _ in named} == ids.keys()
    assert {pair for pair in named if pair[0] != "module"} == {*ids.items()} - {
        ("module", ids["module"])
    }
    assert ("module", ids["module"]) in named


@pytest.mark.parametrize("path", PAGES)
def test_links_within_a_page_lead_somewhere(path: str) -> None:
    page = PAGES[path]
    headings = [
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", page, re.M)
    ]
    assert len(headings) == len(set(headings)), "a link to one of two of the same name"
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= set(headings)


def test_every_dashboard_is_on_its_page_with_the_kpis_that_it_shows() -> None:
    for scene in scenes(CATALOG, read(CATALOG), "en"):
        page = PAGES[dashboard_docs.PATH]
        section = page.partition(f"\n### {scene.board.title.within('en')}\n")[2]
        section = section.partition("\n## ")[0].partition("\n### ")[0]
        assert f"`/d/{uid(scene.name, 'en')}`" in section, scene.name
        shown = {
            kpi
            for row in scene.board.rows
            for panel in panels_of(row)
            for kpi in panel.shown(scene)
        }
        assert {kpi for kpi in shown if f"`{kpi}`" not in section} == set(), scene.name


EXPECTED = {
    "nps": Lineage(("nps",), (), ("experience", "device", "module"), ("experience",)),
    "sessions": Lineage(
        ("click", "message"), ("contact", "experience"), ("device",), ("tenant", "experience")
    ),
    "new_conversations": Lineage((ANY,), ("conversation",), ("device", "channel", "inbox"), ()),
    "chats_by_kind": Lineage(("message", "result"), ("conversation",), (), ()),
    "after_sales_messages": Lineage(
        ("message", "notification"),
        ("conversation",),
        ("department", "user", "channel", "inbox"),
        ("tenant", "department", "inbox", "user"),
    ),
    "users_potential": Lineage((), (), (), ("tenant", "potential")),
    "active_users": Lineage((ANY,), ("user",), (), ("user",)),
    "opt_ins": Lineage(("opt_in",), ("contact",), ("module", "experience"), ()),
}


@pytest.mark.parametrize("kpi_id", EXPECTED)
def test_what_a_kpi_reads(kpi_id: str) -> None:
    every = compile_kpis(CATALOG)
    assert lineage(CATALOG.kpis[kpi_id], every, CATALOG) == EXPECTED[kpi_id]


def test_every_kpi_reads_something() -> None:
    every = compile_kpis(CATALOG)
    for kpi in CATALOG.kpis.values():
        reads = lineage(kpi, every, CATALOG)
        assert reads.events or "potential" in reads.entities, kpi.kpi_id


def test_every_dashboard_names_its_filters() -> None:
    sections = re.findall(r"^Folder \*.*$", PAGES[dashboard_docs.PATH], re.M)
    assert len(sections) == len(scenes(CATALOG, read(CATALOG), "en"))
    assert [section for section in sections if "Filters: tenant" not in section] == []
