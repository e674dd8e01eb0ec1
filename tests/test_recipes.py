"""The recipes of docs/recipes.md, followed to the letter on a copy of the package."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datasource.store.connection import connect
from tests.conftest import Databases

TOP = Path(__file__).parents[1]
RECIPES = (TOP / "docs" / "recipes.md").read_text(encoding="utf-8")
PROGRAM = "from datasource.cli import main; raise SystemExit(main())"
FOLLOWED = ("A KPI", "A field of a record", "A dimension")
Run = Callable[..., str]


def steps(recipe: str) -> list[tuple[str, str, str]]:
    """Return a recipe's steps: the file that was named last, and the kind and text of a block."""
    section = RECIPES.partition(f"\n## {recipe}\n")[2].partition("\n## ")[0]
    named = r"[Ii]n `([^`\n]+)`[^\n]*(?:\n[^\n]+)*:\n\n"  # in a paragraph that ends with a colon
    found = re.findall(named + r"```(\w*)\n(.*?)```", section, re.S)
    assert found, recipe
    return found


def follow(recipe: str, top: Path) -> None:
    """Do what a recipe says: write its files, or change lines of them."""
    for path, kind, block in steps(recipe):
        file = top / path
        if kind == "diff":
            file.write_text(changed(file.read_text("utf-8"), block.splitlines()), "utf-8")
        else:
            assert not file.exists(), path
            file.write_text(block, "utf-8")


def changed(text: str, block: list[str]) -> str:
    """Return a text in which the lines of a diff are replaced; each has to be there, once."""
    place = -1  # of the line that the next new ones follow
    lines = text.splitlines()
    for line in block:
        mark, content = line[0], line[1:]
        if mark == "+":
            place += 1
            lines.insert(place, content)
            continue
        assert lines.count(content) == 1, content
        place = lines.index(content)
        if mark == "-":
            del lines[place]
            place -= 1
    return "\n".join(lines) + "\n"


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

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
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
    for recipe in FOLLOWED:
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
