"""The recipes of docs/recipes.md, followed to the letter on a copy of the package."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datasource.store.connection import connect
from tests.conftest import Databases
from tests.recipes import FOLLOWED, TOP, follow

PROGRAM = "from datasource.cli import main; raise SystemExit(main())"
# Prints what the server answers to POST /rows, GET /export and GET /openapi.json for a list.
ASK_FOR_A_LIST = """
import os, sys
from datasource.protocol.app import create_app
client = create_app(os.environ["DATABASE_URL"]).test_client()
name, token = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}
asked = {"list": name, "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}
print(client.post("/rows", json=asked, headers=headers).text)
for day in ("2026-03-02", "2026-04-02"):
    span = f"from={day}T00:00:00Z&to={day}T20:00:00Z"
    print(client.get(f"/export/{name}.csv?{span}", headers=headers).text.replace("\\r", ""))
print(name in client.get("/openapi.json").json["components"]["schemas"]["list"]["enum"])
"""
Run = Callable[..., str]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Return the folder of a copy of the package, as in a checkout."""
    for folder in ("datasource", "views"):
        shutil.copytree(TOP / folder, tmp_path / folder)
    return tmp_path


@pytest.fixture
def run(top: Path, database: Databases) -> Run:
    """Return what runs a command of the copy, on a database of its own."""
    url = database.new_database()
    connect(url).close()

    def run(*arguments: str, program: str = PROGRAM) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={"DATABASE_URL": url, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(top)},
            cwd=top,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def door(name: str, **fields: str) -> dict[str, str]:
    at = {"type": "door_opened", "tenant": "acme", "id": name, "at": "2026-03-02T10:00:00Z"}
    return at | {"contact": f"c-{name}", "experience": "x", "door": "1"} | fields


def write(path: Path, *records: dict[str, str]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return str(path)


@pytest.mark.parametrize("recipe", FOLLOWED)
def test_a_recipe_fits_the_files(recipe: str, top: Path) -> None:
    follow(recipe, top)


def test_a_kpi_a_field_and_a_dimension_are_added(top: Path, run: Run) -> None:
    """On an installation that has data already."""
    click = door("click") | {"type": "click"}
    run("init")
    run("load", write(top / "before.ndjson", door("plain"), click))
    run("refresh")
    for recipe in ("A KPI", "A field of a record", "A dimension"):
        follow(recipe, top)
    run("init")
    red = (door("red", colour="red"), door("red2", colour="red"))
    run("load", write(top / "after.ndjson", *red))
    run("refresh")
    march = ["--from", "2026-03-01", "--to", "2026-04-01", "--format", "csv"]
    assert run("kpi", "clicks", *march) == "value\n1\n"
    assert run("kpi", "advent_doors", *march, "--by", "colour").splitlines() == [
        "colour,colour_name,value",
        "no colour,no colour,1",
        "red,red,2",
    ]
    subprocess.run(
        [sys.executable, "-m", "datasource.documentation"],
        cwd=top,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(top)},
        check=True,
    )
    assert "`colour`" in (top / "docs" / "records.md").read_text("utf-8")
    assert "`clicks`" in (top / "docs" / "kpis.md").read_text("utf-8")


def test_a_list_is_added(top: Path, run: Run) -> None:
    """One function and its declaration: rows, files with their heads, and openapi.json have it."""
    follow("A list", top)
    run("init")
    run("load", write(top / "doors.ndjson", door("1"), door("2", tenant="other", device="mobile")))
    run("refresh")
    token = run("token", "create", "all", "--all").strip()
    rows, *rest = run("doors", token, program=ASK_FOR_A_LIST).splitlines()
    first = {"tenant": "acme", "tenant_name": "acme", "time": 1772445600000, "id": "1"}
    first |= {"name": "1", "device": "no device"}
    second = first | {"tenant": "other", "tenant_name": "other", "id": "2", "device": "mobile"}
    assert [list(row.items()) for row in json.loads(rows)] == [
        list(row.items()) for row in (second, first)
    ]
    head = "tenant,tenant_name,time,id,name,device"
    at = "2026-03-02T10:00:00+00:00"
    assert rest == [
        head,
        f"other,other,{at},2,1,mobile",
        f"acme,acme,{at},1,1,no device",
        "",
        head,
        "",
        "True",
    ]
