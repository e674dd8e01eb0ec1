"""What is not documented fails, and so does what the documents say and is not so."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import metadata
from pathlib import Path

import pytest

from datasource.catalog import LISTS, Catalog
from datasource.protocol.app import create_app
from datasource.protocol.settings import Settings
from tests.recipes import FOLLOWED, steps

TOP = Path(__file__).parents[1]
SERVER = (TOP / "docs" / "server.md").read_text(encoding="utf-8")
QUESTIONS = (TOP / "docs" / "questions.md").read_text(encoding="utf-8")
RULES = (TOP / "docs" / "rules.md").read_text(encoding="utf-8")
PAGES = sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md")])
TEXTS = {".py", ".sql", ".toml", ".txt", ".md", ".yaml", ".html"}


def name(path: Path) -> str:
    return str(path.relative_to(TOP))


def texts(*folders: str) -> Iterator[tuple[str, str]]:
    """Give the texts below some folders, each with its name."""
    for folder in folders:
        for path in sorted((TOP / folder).rglob("*")):
            if path.suffix in TEXTS and path.is_file():
                yield name(path), path.read_text(encoding="utf-8")


def test_every_setting_is_documented() -> None:
    paths = [path for path in (TOP / "datasource").rglob("*.*") if path.suffix in (".py", ".toml")]
    sources = "".join(path.read_text(encoding="utf-8") for path in paths)
    settings = set(re.findall(r"\bCHATKPI_[A-Z_]+[A-Z]|\bDATABASE_URL\b", sources))
    settings |= {f"CHATKPI_{field.name.upper()}" for field in fields(Settings)}
    assert settings - set(re.findall(r"`([A-Z_]+)`", SERVER)) == set()


def test_every_path_is_documented() -> None:
    paths = {rule.rule for rule in create_app("postgresql://x").url_map.iter_rules()}
    assert {path for path in paths if f"{path}`" not in SERVER} == set()


def test_every_list_is_documented() -> None:
    section = QUESTIONS.partition("\n## Lists\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\|([^|]*`[^|]*)\|", section, re.M)
    assert LISTS and sorted(re.findall(r"`(\w+)`", "".join(cells))) == sorted(LISTS)


def test_the_rules_are_numbered_without_gaps() -> None:
    chapters = [int(number) for number in re.findall(r"^## (\d+) ", RULES, re.M)]
    assert chapters == list(range(1, len(chapters) + 1))
    for chapter in chapters:
        rules = [int(rule) for rule in re.findall(rf"^### {chapter}\.(\d+) ", RULES, re.M)]
        assert rules == list(range(1, len(rules) + 1)), chapter


def test_every_citation_of_the_rules_leads_to_one() -> None:
    """They are cited as `rules.md`, `rules.md, 2.3`, `rules.md, 2.2 and 2.3`."""
    known = set(re.findall(r"^##+ ([\d.]+) ", RULES, re.M))
    wrong, cited = [], 0
    for place, text in texts("datasource", "views", "docs"):
        for citation in re.findall(r"rules\.md`?, ([^)`;:]{1,30})", text):
            numbers = re.findall(r"\d+(?:\.\d+)?", citation)
            cited += 1
            if not numbers or not set(numbers) <= known:
                wrong.append((place, citation))
    assert cited and wrong == []


def test_references_within_the_rules_lead_somewhere() -> None:
    known = set(re.findall(r"^##+ ([\d.]+) ", RULES, re.M))
    referred = set(re.findall(r"\((\d+\.\d+)\)|\bof (\d+\.\d+)\b", RULES))
    assert {number for pair in referred for number in pair if number} <= known


def links(path: Path) -> set[Path]:
    """Return the files to which a page links."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    found = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    return {(path.parent / link).resolve() for link in found if "://" not in link}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_to_files(path: Path) -> None:
    assert [link for link in links(path) if not link.exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, new = set[Path](), {TOP / "README.md"}
    while new:
        reached |= new
        new = {link for path in new for link in links(path) if link.suffix == ".md"} - reached
    assert {name(path) for path in {*PAGES} - reached} == set()


def test_what_people_expect_of_a_repository_is_there() -> None:
    licence = (TOP / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence
    assert "make test" in (TOP / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert (TOP / "SECURITY.md").exists() and (TOP / "datasource" / "py.typed").exists()
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0" and project["readme"] == "README.md"


def test_what_is_generated_is_marked_so() -> None:
    marked = (TOP / ".gitattributes").read_text(encoding="utf-8")
    generated = [
        f"docs/{name}" for name in ("dashboards.md", "kpis.md", "kpis.nl.md", "records.md")
    ]
    for path in ["dashboards_json/**", *generated]:
        assert re.search(rf"^{re.escape(path)} .*linguist-generated", marked, re.M), path


def test_the_version_is_written_once() -> None:
    from datasource import __version__

    assert metadata("chatkpi")["Version"] == __version__
    assert f'"{__version__}"' not in (TOP / "pyproject.toml").read_text(encoding="utf-8")


ARCHITECTURE = TOP / "docs" / "architecture.md"


@pytest.mark.parametrize(
    "path", [ARCHITECTURE, TOP / "docs" / "recipes.md", TOP / "CONTRIBUTING.md"]
)
def test_files_that_are_named_are_there(path: Path) -> None:
    named = re.findall(
        r"`((?:views|datasource|tests|docs|bench|dashboards_json|provisioning)/[\w./-]*)`",
        path.read_text(encoding="utf-8"),
    )
    made_up = {file for recipe in FOLLOWED for file, kind, _ in steps(recipe) if kind != "diff"}
    assert named and [one for one in named if not (TOP / one).exists() and one not in made_up] == []


def test_what_the_architecture_names_in_sql_is_there() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    schema = "".join(text for _, text in texts("views/schema"))
    facts = {path.stem for path in (TOP / "views" / "facts").glob("*.sql")}
    kpis = {path.stem for path in (TOP / "views" / "kpi").glob("*/*.sql")}
    for schema_name, thing in set(re.findall(r"`(kpi\w*)\.(\w+)", text)):
        made = rf"CREATE [A-Z ]*(FUNCTION|TABLE|VIEW|TYPE) [A-Z ]*{schema_name}\.{thing}\b"
        assert (
            re.search(made, schema)
            or (schema_name == "kpi_fact" and thing in facts)
            or (schema_name in ("kpi", "kpi_hits") and thing in kpis)
        ), f"{schema_name}.{thing}"
    for number, rest in re.findall(r"`(\d\d)_(\w+)\.sql`", text):
        assert (TOP / "views" / "schema" / f"{number}_{rest}.sql").exists()
    for schema_name in re.findall(r"^\| `(kpi\w*)` \|", text, re.M):
        assert re.search(rf"CREATE SCHEMA (IF NOT EXISTS )?{schema_name}\b", schema), schema_name


def test_every_schema_is_in_the_architecture() -> None:
    schema = "".join(text for _, text in texts("views/schema"))
    made = set(re.findall(r"CREATE SCHEMA (?:IF NOT EXISTS )?(\w+)", schema))
    text = ARCHITECTURE.read_text(encoding="utf-8")
    assert {name for name in made if f"`{name}`" not in text} == set()


def test_the_readme_counts_the_kpis() -> None:
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"(\d+) KPIs", readme) == [str(len(Catalog.read().kpis))]
