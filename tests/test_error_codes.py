"""docs/errors.md has every code that the product can send, with its status, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from datasource.protocol.errors import REFUSALS

TOP = Path(__file__).parents[1]
Codes = set[tuple[str, int]]


def of_python() -> Iterator[tuple[str, int]]:
    """Give what is refused by ApiError(status, code, …) anywhere in the package."""
    for path in (TOP / "datasource").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_refusal = isinstance(node, ast.Call) and ast.unparse(node.func) == "ApiError"
            if is_refusal and isinstance(node.args[1], ast.Constant):
                yield node.args[1].value, ast.literal_eval(node.args[0])
            elif is_refusal:
                taken = ast.unparse(node.args[1])
                assert taken.startswith("*REFUSALS[") or path.name == "errors.py", taken
    for status, (code, _) in REFUSALS.items():
        yield code, status


def of_sql() -> Iterator[tuple[str, int]]:
    """Give what is refused by kpi_admin.refuse and by RAISE in the schema."""
    for path in (TOP / "views").rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        calls = re.findall(r"kpi_admin\.refuse\(\s*([^,]+),", text)
        for called in calls:
            literal = re.fullmatch(r"'(\w+)'", called.strip())
            assert literal or called.startswith("code "), f"{path}: not a plain code: {called}"
            if literal:
                yield literal[1], 404 if literal[1] == "unknown_kpi" else 422
        for raised in re.findall(r"RAISE EXCEPTION USING(.*?);", text, re.S):
            if (state := re.search(r"ERRCODE = 'KP(\d+)'", raised)) and (
                code := re.search(r"CONSTRAINT = '(\w+)'", raised)
            ):
                yield code[1], int(state[1])


def documented() -> Codes:
    text = (TOP / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| [^|]+ \| [^|]+ \|$", text, re.M)
    assert len(rows) == len({code for code, _ in rows}) == text.count("\n| `")
    return {(code, int(status)) for code, status in rows}


def test_every_code_is_documented_and_no_other() -> None:
    known = {*of_python(), *of_sql()}
    assert len(known) > 30
    assert known - documented() == set(), "codes without a row in docs/errors.md"
    assert documented() - known == set(), "rows of docs/errors.md that no code has"


def test_every_raise_of_a_refusal_has_its_code() -> None:
    """A KP… state without a constraint would reach the client without a code."""
    for path in (TOP / "views").rglob("*.sql"):
        for raised in re.findall(r"RAISE EXCEPTION USING(.*?);", path.read_text("utf-8"), re.S):
            assert "'KP" not in raised or "CONSTRAINT = " in raised, path
