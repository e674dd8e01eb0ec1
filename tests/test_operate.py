"""docs/operate.md: backup and restore as it says, on clusters of their own."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_compose import POSTGRES, TOP, Rehearsal, rehearsal

TEXT = (TOP / "docs" / "operate.md").read_text(encoding="utf-8")
QUESTIONS: list[dict[str, Any]] = [
    {"kpi": kpi, "last": last, "by": ["tenant"], "shape": shape}
    for kpi in ("sessions", "participants", "nps", "mecs", "messages", "after_sales_joined")
    for last, shape in (("12 months", "total"), ("30 days", "series"))
]


@pytest.fixture
def folders() -> Iterator[tuple[Path, Path]]:
    """Give two folders that an unprivileged user may enter."""
    if not POSTGRES:
        pytest.skip("there is no PostgreSQL of the system")
    with (
        tempfile.TemporaryDirectory(prefix="chatkpi-old-") as old,
        tempfile.TemporaryDirectory(prefix="chatkpi-new-") as new,
    ):
        for folder in (old, new):
            Path(folder).chmod(0o755)
        yield Path(old), Path(new)


def commands(section: str) -> list[str]:
    """Return the commands that a section gives to the container of the database."""
    text = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^ +docker compose exec -T db (.+)$", text, re.M)
    assert len(found) == 2, section
    return found


def do(found: Rehearsal, section: str, files: Path) -> None:
    """Run the commands of a section where the database's container would run them."""
    for command in commands(section):
        placed = re.sub(r"([<>]) (\S+)$", rf"\1 {files}/\2", command)
        found.run(placed, "db", PGHOST=str(found.folder), PGHOSTADDR="")


def answers(found: Rehearsal) -> list[Any]:
    return [found.rows(question) for question in QUESTIONS]


@pytest.mark.timeout(600)
def test_a_restored_backup_gives_the_same_answers(folders: tuple[Path, Path]) -> None:
    old, new = folders
    with rehearsal(old, CHATKPI_DEMO_EVENTS="3000") as first:
        first.up()
        before = answers(first)
        assert sum(len(rows) for rows in before) > 100
        do(first, "Backup", old)
        keys = {path.read_text().strip() for path in (old / "keys").rglob("*") if path.is_file()}
        for name in ("roles.sql", "chatkpi.dump"):
            dumped = (old / name).read_bytes()
            assert dumped and not [key for key in keys if key.encode() in dumped]
    with rehearsal(new, CHATKPI_DEMO_EVENTS="3000") as second:
        second.once("keys")
        second.database()
        do(second, "Restore", old)
        second.up()
        assert answers(second) == before
        report = second.run("chatkpi check", "refresher")
        assert "WRONG" not in report and "ok     rights" in report
        assert second.key("grafana/token") != (old / "keys/grafana/token").read_text().strip()
