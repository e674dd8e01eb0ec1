from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.__main__ import PARTS, keep, section
from bench.place import Place
from tests.conftest import Databases


@pytest.fixture(scope="module")
def place(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHATKPI_NOW", "")  # is as before when the place, which sets it, is done with
        yield Place(database.url, tmp_path_factory.mktemp("bench"), 5000, days=130, last_days=2)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_gives_its_figures(place: Place, part: str) -> None:
    assert section(part, place).count("\n| ") > 2


def test_a_run_replaces_the_sections_of_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "bench.md"
    for part, text in (("load", "old"), ("http", "one"), ("load", "new")):
        keep(path, part, f"## {part}\n\n{text}")
    assert path.read_text().partition("## ")[2] == "load\n\nnew\n\n## http\n\none\n"
