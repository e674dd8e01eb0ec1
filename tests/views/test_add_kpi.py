"""Adding a KPI is one file and its translation; everything else follows from it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datasource.catalog import Catalog, DefinitionError, views_folder
from datasource.compile import compile_kpis
from tests.agreement import Http, ask_sql, installed
from tests.conftest import Databases
from tests.recipes import follow, steps

# The KPI of the recipe.
[(PATH, _, KPI), _] = steps("A KPI")
RECORDS = [
    {"type": "experience", "tenant": "t", "id": "x", "folder": "f"},
    *(
        {
            "type": "click",
            "tenant": "t",
            "id": f"e{n}",
            "at": "2026-03-02T10:00:00Z",
            "contact": f"c{n % 2}",
            "experience": "x",
        }
        for n in range(3)
    ),
]
QUESTION = {
    "kpi": "clicks",
    "from": "2026-03-01T00:00:00Z",
    "to": "2026-04-01T00:00:00Z",
    "shape": "total",
    "by": ["folder"],
}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    views = tmp_path / "views"
    shutil.copytree(views_folder(), views)
    follow("A KPI", tmp_path)
    return Catalog.read(views)


def test_a_new_file_is_everywhere_in_sql(
    catalog: Catalog, database: Databases, tmp_path: Path
) -> None:
    _, connection = installed(database, RECORDS, tmp_path, "2026-06-01T00:00:00Z", catalog)
    assert ask_sql(connection, QUESTION) == [{"dims": {"folder": "f"}, "value": 3}]
    row = connection.execute(
        "SELECT title, title_nl, dims FROM kpi.catalog WHERE kpi_id = 'clicks'"
    ).fetchone()
    assert row == ("Clicks", "Kliks", ["experience", "folder", "device"])
    view = connection.execute("SELECT * FROM kpi.clicks").fetchall()
    assert [(r[0], r[-1]) for r in view] == [("t", 3)]
    comment = connection.execute("SELECT obj_description('kpi.clicks'::regclass)").fetchone()
    assert comment and comment[0].startswith("Clicks: Clicks of contacts")


def test_without_its_translation_it_is_refused(catalog: Catalog) -> None:
    (catalog.folder / "kpi" / "experience" / "clicks.nl.txt").unlink()
    with pytest.raises(DefinitionError, match="Dutch words are missing"):
        Catalog.read(catalog.folder)


@pytest.mark.parametrize(
    "definition, reason",
    [
        ("SELECT experience, device FROM event; DROP TABLE kpi_fact.event", "not a single SELECT"),
        ("DELETE FROM event", "not a single SELECT"),
        ("SELECT experience, device FROM pg_authid", "FROM one of the facts"),
        (
            "SELECT experience, device FROM event WHERE id IN (SELECT name FROM pg_authid)",
            "unknown table",
        ),
        ("SELECT experience FROM event", "its dims need"),
        ("SELECT experience, device FROM event GROUP BY 1, 2", "no GROUP"),
        ("SELECT 1 AS amount, experience, device FROM event", "an amount is for"),
        ("SELECT experience, FROM FROM", "clicks.sql"),
    ],
)
def test_a_bad_definition_is_named(definition: str, reason: str, catalog: Catalog) -> None:
    path = catalog.folder / "kpi" / "experience" / "clicks.sql"
    path.write_text("\n".join(KPI.splitlines()[:6]) + "\n" + definition + "\n", "utf-8")
    with pytest.raises(DefinitionError, match=reason):
        compile_kpis(Catalog.read(catalog.folder))


@pytest.mark.parametrize(
    "line, instead, reason",
    [
        ("-- title: Clicks\n", "", "no `-- title"),
        ("-- unit: none", "-- units: none", "no `-- unit"),
        ("-- unit: none", "-- unit: none\n-- colour: red", "unknown header colour"),
        ("folder, device", "folder, tenant", "unknown dimension tenant"),
        ("-- unit: none", "-- unit: none\n-- grain: week", "unknown grain week"),
        ("counting: count", "counting: distinct clicks", "unknown counting"),
        ("experience, folder, device", "folder, device", "folder: a parent"),
        ("counting: count", "counting: ratio", "one quotient"),
    ],
)
def test_a_bad_header_is_named(line: str, instead: str, reason: str, catalog: Catalog) -> None:
    path = catalog.folder / "kpi" / "experience" / "clicks.sql"
    text = KPI.replace(line, instead)
    if reason.startswith("folder"):
        text = text.replace("SELECT experience, device", "SELECT device")
    path.write_text(text, "utf-8")
    with pytest.raises(DefinitionError, match=f"clicks.sql.*{reason}"):
        compile_kpis(Catalog.read(catalog.folder))


@pytest.mark.parametrize(
    "formula",
    [
        "SELECT",
        "SELECT taps",
        "SELECT 1, clicks / sessions",
        "SELECT users / sessions",
        "SELECT clicks / sessions",
        "SELECT sessions % 2 / bounces",
    ],
)
def test_a_bad_formula_is_named(formula: str, catalog: Catalog) -> None:
    path = catalog.folder / "kpi" / "experience" / "clicks.sql"
    path.write_text(
        "\n".join(KPI.replace("counting: count", "counting: ratio").splitlines()[:6])
        + f"\n{formula}\n",
        "utf-8",
    )
    with pytest.raises(DefinitionError, match="clicks.sql"):
        compile_kpis(Catalog.read(catalog.folder))


def test_only_the_changed_kpi_is_built_again(
    catalog: Catalog, database: Databases, tmp_path: Path
) -> None:
    from datasource.store.migrate import init
    from datasource.store.refresh import refresh

    _, connection = installed(database, RECORDS, tmp_path, "2026-06-01T00:00:00Z")
    before = dict(connection.execute("SELECT kpi_id, relation FROM kpi_admin.slice").fetchall())
    init(connection, catalog)
    assert refresh(connection, catalog).slices == 1
    after = dict(connection.execute("SELECT kpi_id, relation FROM kpi_admin.slice").fetchall())
    assert before.items() <= after.items() and "clicks" in after


def test_the_command_line_has_it(catalog: Catalog, database: Databases, tmp_path: Path) -> None:
    url, connection = installed(database, RECORDS, tmp_path, "2026-06-01T00:00:00Z", catalog)
    connection.close()
    # A copy of the package beside the copy of views/, as in a checkout.
    shutil.copytree(Path(__file__).parents[2] / "datasource", tmp_path / "datasource")
    program = "from datasource.cli import main; raise SystemExit(main())"
    question = [
        "kpi",
        "clicks",
        "--from",
        "2026-03-01",
        "--to",
        "2026-04-01",
        "--format",
        "json",
    ]
    said = subprocess.run(
        [sys.executable, "-c", program, *question],
        env={"DATABASE_URL": url, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)[0]["value"] == 3


def test_http_has_it(
    catalog: Catalog, database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, connection = installed(database, RECORDS, tmp_path, "2026-06-01T00:00:00Z", catalog)
    http = Http(url, connection, "2026-06-01T00:00:00Z", monkeypatch)
    assert http.ask(QUESTION) == [{"dims": {"folder": "f"}, "value": 3}]
    headers = {"Authorization": f"Bearer {http.token(None)}"}
    target = {"target": "clicks", "refId": "A", "payload": {"shape": "total"}}
    asked = {"range": {"from": QUESTION["from"], "to": QUESTION["to"]}, "targets": [target]}
    [table] = http.client.post("/query", json=asked, headers=headers).get_json()
    assert table["rows"] == [[3]]
    found = http.client.post("/search", json={"target": "click"}, headers=headers).get_json()
    assert {"text": "Clicks", "value": "clicks"} in found
