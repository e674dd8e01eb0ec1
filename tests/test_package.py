"""What the package promises about itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "datasource"
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES_OF_A_FILE = 400
# Folders that are only on the machine of whoever wrote a line: they have no place in a repository.
LOCAL = re.compile(r"(?<![\w.$/])/(?:home|root|work|Users)/[\w.-]+")
TEXTS = {".py", ".sql", ".toml", ".txt", ".md", ".yaml", ".yml", ".json", ".lock", ".cfg", ".ini"}


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_long() -> None:
    assert {str(path): lines(path) for path in MODULES if lines(path) > LINES_OF_A_FILE} == {}


def files() -> Iterator[Path]:
    for path in TOP.rglob("*"):
        hidden = any(part.startswith(".") and part != ".ci" for part in path.relative_to(TOP).parts)
        if (
            path.is_file()
            and not hidden
            and (path.suffix in TEXTS or path.name in ("Makefile", "run"))
        ):
            yield path


def test_nothing_names_a_folder_of_one_machine() -> None:
    found = {str(path): LOCAL.findall(path.read_text(encoding="utf-8")) for path in files()}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and node in tree.body
    ]
    assert ast.get_docstring(tree)
    assert [node.name for node in public if not ast.get_docstring(node)] == []
