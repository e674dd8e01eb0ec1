"""The form of the SQL files: what can be said of them without a database."""

import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from datasource.catalog import DIMS

TOP = Path(__file__).parents[2]
FILES = sorted([*TOP.glob("views/**/*.sql"), *TOP.glob("datasource/**/*.sql")])
DEFINITIONS = [path for path in FILES if path.parent.parent.name == "kpi"]
FACTS = [path for path in FILES if path.parent.name == "facts"]
COLUMNS = 120
HEADER = re.compile(r"-- \w+: ")  # of a KPI: words for people, on one line however long


def name(path: Path) -> str:
    return str(path.relative_to(TOP))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_line_is_long(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    long = [
        f"{number}: {line}"
        for number, line in enumerate(lines, 1)
        if len(line) > COLUMNS and not (path in DEFINITIONS and HEADER.match(line))
    ]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_lines_end_where_they_should(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") and not text.endswith("\n\n") and "\t" not in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("path", [*DEFINITIONS, *FACTS], ids=name)
def test_a_definition_is_one_select(path: Path) -> None:
    [select] = sqlglot.parse(path.read_text(encoding="utf-8"), dialect="postgres")
    assert isinstance(select, exp.Select)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_value_of_what_is_missing_is_the_dimensions_own(path: Path) -> None:
    """SQL that spells it out has it from datasource/catalog/dims.toml."""
    spelled = set(re.findall(r"'(no [a-z_]+)'", path.read_text(encoding="utf-8")))
    assert spelled - {dim.missing for dim in DIMS.values()} == set()


VERBS = "Return Add Bring Build Check Count Create End Fold Forget Have Keep Note Refuse Remove Start Take Write"
FUNCTION = re.compile(r"((?:^--[^\n]*\n)*)CREATE (?:OR REPLACE )?FUNCTION (kpi_\w+\.\w+)", re.M)


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "schema"], ids=name)
def test_the_comment_over_a_function_starts_with_a_verb(path: Path) -> None:
    """Those of the schema kpi have a COMMENT, which people can read in their tools."""
    found = FUNCTION.findall(path.read_text(encoding="utf-8"))
    starts = {function: re.match(r"-- (\w+)", comment) for comment, function in found}
    assert [
        function for function, verb in starts.items() if not verb or verb[1] not in VERBS.split()
    ] == []
