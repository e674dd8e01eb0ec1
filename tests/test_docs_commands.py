"""The commands and the SQL in the documents: what they name exists, and what they show runs."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datasource.cli import COMMANDS
from tests.agreement import installed
from tests.conftest import Databases

TOP = Path(__file__).parents[1]
PAGES = sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md")])
TABLE: dict[str, Any] = tomllib.loads(COMMANDS.read_text(encoding="utf-8"))
RECORDS = [
    {
        "type": "message",
        "tenant": "acme",
        "id": "m1",
        "at": "2026-10-01T10:00:00Z",
        "from": "bot",
        "contact": "c1",
        "experience": "welcome",
    }
]


def name(path: Path) -> str:
    return str(path.relative_to(TOP))


def code(path: Path) -> Iterator[str]:
    """Give the inline code of a page, and the lines of its blocks but those of definitions."""
    text = path.read_text(encoding="utf-8")
    for kind, block in re.findall(r"```(\w*)\n(.*?)```", text, re.S):
        if kind in ("", "sh", "bash", "console"):
            yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


def commands(path: Path) -> Iterator[list[str]]:
    """Give the words of each `chatkpi …` on a page."""
    for line in code(path):
        for part in re.split(r"&&|\||;", line.partition("  #")[0]):
            found = re.search(r"(?:^|[\s/])chatkpi ([a-z-].*)", part)
            if found and not part.strip().startswith(("{", "=>")):
                yield found[1].replace("'", "").split()


def options(command: str) -> set[str]:
    """Return the options of a command."""
    row = TABLE[command]
    shared = TABLE[row["like"]]["options"] if "like" in row else {}
    shapes = {f"--{shape}" for shape in row.get("either", [])}
    return {flag for flag in shared | row.get("options", {}) if flag.startswith("-")} | shapes


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_command_and_option_exists(path: Path) -> None:
    wrong = []
    for command, *words in commands(path):
        flags = {word.strip("[],.)(").partition("=")[0] for word in words if word.startswith("--")}
        if command == "--version":
            continue
        if command not in TABLE or flags - options(command):
            wrong.append(" ".join([command, *words]))
    assert wrong == []


def test_every_command_is_in_the_readme_or_the_docs() -> None:
    named = {command for path in PAGES for command, *_ in commands(path)}
    assert TABLE.keys() - named == set()


def statements(path: Path) -> Iterator[str]:
    """Give the SQL that a page shows to be run, that is whole."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"```\n(=> .*?)```", text, re.S):
        yield block.removeprefix("=> ").partition(";")[0]
    for line in code(path):
        if line.startswith("SELECT ") and "kpi." in line and "…" not in line:
            yield line


@pytest.fixture(scope="module")
def connection(
    database: Databases, tmp_path_factory: pytest.TempPathFactory
) -> psycopg.Connection[Any]:
    folder = tmp_path_factory.mktemp("docs")
    return installed(database, RECORDS, folder, "2026-11-15T00:00:00Z")[1]


@pytest.mark.parametrize("path", [path for path in PAGES if [*statements(path)]], ids=name)
def test_what_is_shown_in_sql_runs(path: Path, connection: psycopg.Connection[Any]) -> None:
    for statement in statements(path):
        connection.execute(statement.encode())


def test_a_definition_that_the_readme_shows_is_the_one_in_its_file() -> None:
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"`(views/kpi/\S+\.sql)`:\n\n```sql\n(.*?)```", readme, re.S)
    assert shown
    for path, block in shown:
        assert (TOP / path).read_text(encoding="utf-8") == block


def test_words_are_split_as_a_shell_does() -> None:
    """The commands that are shown can be pasted: no quote is left open."""
    for path in PAGES:
        for line in code(path):
            if line.lstrip().startswith("chatkpi "):
                shlex.split(line.partition("  #")[0])
