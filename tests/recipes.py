"""Follows the recipes of docs/recipes.md to the letter, on a copy of the package."""

import re
from pathlib import Path

TOP = Path(__file__).parents[1]
RECIPES = (TOP / "docs" / "recipes.md").read_text(encoding="utf-8")
# Those that are followed; the others say in words what to do.
FOLLOWED = ("A KPI", "A field of a record", "A dimension", "A list")


def steps(recipe: str) -> list[tuple[str, str, str]]:
    """Return a recipe's steps: the file that was named last, and the kind and text of a block."""
    section = RECIPES.partition(f"\n## {recipe}\n")[2].partition("\n## ")[0]
    named = r"[Ii]n `([^`\n]+)`[^\n]*(?:\n[^\n]+)*:\n\n"  # in a paragraph that ends with a colon
    found = re.findall(named + r"```(\w*)\n(.*?)```", section, re.S)
    assert found, recipe
    return found


def follow(recipe: str, top: Path) -> None:
    """Do what a recipe says below a folder: write its files, or change lines of them."""
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
