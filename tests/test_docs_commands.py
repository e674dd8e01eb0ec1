"""The commands and the SQL in the documents: what they name exists, and what they show runs."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.types.json import Jsonb

from datasource.cli import COMMANDS
from datasource.protocol.fields import QUESTION
from datasource.protocol.question import check_names, question
from tests.agreement import installed
from tests.conftest import Databases

TOP = Path(__file__).parents[1]
PAGES = sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md")])
QUESTIONS = (TOP / "docs" / "questions.md").read_text(encoding="utf-8")
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
    },
    {
        "type": "result",
        "tenant": "acme",
        "id": "r1",
        "at": "2026-11-10T10:00:00Z",
        "conversation": "v1",
        "channel": "web",
        "result_type": "lead",
    },
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


def test_every_field_of_a_question_is_documented_with_its_values() -> None:
    table = QUESTIONS.partition("## Every field")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", table, re.M))
    assert rows.keys() == QUESTION.keys()
    rows["list"] = QUESTIONS.partition("\n## Lists\n")[2].partition("\n## ")[0]
    for field, schema in QUESTION.items():
        values = {f"`{value}`" for value in schema.get("enum", [])}
        assert {value for value in values if value not in rows[field]} == set(), field


def test_the_functions_are_documented_with_their_parameters() -> None:
    schema = (TOP / "views" / "schema" / "60_public.sql").read_text(encoding="utf-8")
    parameters = r"kpi\.(\w+)\(\s*(kpi_id text, \"from\" date, .*?)\s*\)\s*"
    made = re.findall(rf"FUNCTION {parameters}RETURNS", schema, re.S)
    shown = re.findall(rf"^{parameters}→", QUESTIONS, re.S | re.M)
    assert len(made) == 4
    assert {name: text.split() for name, text in shown} == {
        name: text.split() for name, text in made
    }


def asked_and_answered() -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Give the title, the question and, if one is shown, the answer of each example."""
    for section in QUESTIONS.partition("\n## Examples\n")[2].split("\n### ")[1:]:
        asked, *answered = re.findall(r"```json\n(.*?)```", section, re.S)
        yield (
            section.partition("\n")[0],
            orjson.loads(asked),
            *map(orjson.loads, answered or ["[]"]),
        )


@pytest.mark.parametrize("example", [*asked_and_answered()], ids=lambda example: example[0])
def test_a_question_that_is_shown_is_answered_with_what_is_shown(
    example: tuple[str, dict[str, Any], list[dict[str, Any]]], connection: psycopg.Connection[Any]
) -> None:
    """The columns of an answer are those that are shown; its numbers are made up."""
    _, asked, answered = example
    check_names(asked, QUESTION)
    rows = connection.execute(
        "SELECT kpi_http.rows(kpi_http.read(%s))", [Jsonb(question(asked))]
    ).fetchall()
    assert rows or not answered
    if answered:
        assert {tuple(row) for row in answered} == {tuple(orjson.loads(rows[0][0]))}


def test_the_steps_that_let_a_person_in_do_what_they_say(
    connection: psycopg.Connection[Any],
) -> None:
    server = (TOP / "docs" / "server.md").read_text(encoding="utf-8")
    section = server.partition("## Let a person in by SQL\n")[2].partition("\n## ")[0]
    person = "ann_of_the_docs"
    blocks = [
        block.replace("'ann'", f"'{person}'").replace("ROLE ann", f"ROLE {person}")
        for block in re.findall(r"```sql\n(.*?)```", section, re.S)
    ]
    [make, end] = blocks
    untie, tie_to_all, drop = end.strip().splitlines()
    connection.execute(make.encode())
    try:
        with psycopg.connect(connection.info.dsn, user=person, autocommit=True) as theirs:
            seen = []
            for statement in ("SELECT 1", tie_to_all, untie):
                connection.execute(statement.encode())
                seen.append(theirs.execute("SELECT count(*) FROM kpi.sessions").fetchall())
        assert seen == [[(0,)], [(1,)], [(0,)]]
    finally:
        connection.execute(drop.encode())
