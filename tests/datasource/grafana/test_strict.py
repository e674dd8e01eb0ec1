"""A dashboard's file that is wrong is refused: every mistake, with its file, place and key."""

import shutil
from pathlib import Path

import pytest

from datasource.catalog import Catalog
from datasource.cli import main
from datasource.grafana import panel_id, read, unused
from datasource.grafana.scene import Scene
from datasource.grafana.strict import SpecError
from datasource.grafana.words import FOLDER, Words

CATALOG = Catalog.read()
GOOD = """
family = "bots"
place = 1
title = { en = "Bots", nl = "Bots" }
about = { en = "About bots", nl = "Over bots" }

[[rows]]
height = 4
panels = [{ key = "messages", width = 6, kind = "tile", kpi = "bot_messages" }]
"""


def mistakes(folder: Path, text: str) -> list[str]:
    """Return what is said of a dashboard's file."""
    (folder / "dashboards").mkdir(exist_ok=True)
    (folder / "dashboards" / "bots.toml").write_text(text)
    try:
        read(CATALOG, folder)
    except SpecError as error:
        return error.mistakes
    return []


def test_a_good_file_is_read(tmp_path: Path) -> None:
    assert mistakes(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'family = "bots"',
            'family = "robots"',
            "family: unknown value 'robots'; did you mean 'bots'?",
        ),
        ("place = 1", 'place = "first"', "place: expected int, got 'first'"),
        ("place = 1\n", "", "the key 'place' is missing"),
        ('nl = "Bots" }', 'de = "Bots" }', "title: unknown key 'de'"),
        ('nl = "Bots" }', 'nl = " " }', "title: a text has words in both languages"),
        (
            '"bot_messages"',
            '"bot_mesages"',
            "rows 1, panels 1 (messages), kpi: unknown KpiId 'bot_mesages'; did you mean 'bot_messages'?",
        ),
        (
            '"tile"',
            '"tiel"',
            "rows 1, panels 1 (messages): unknown kind 'tiel'; did you mean 'tile'?",
        ),
        (
            "width = 6",
            "widht = 6",
            "rows 1, panels 1 (messages): unknown key 'widht'; did you mean 'width'?",
        ),
        ("width = 6", "width = 25", "rows 1, panels 1 (messages): `width` is from 1 to 24"),
        ("width = 6", "width = true", "rows 1, panels 1 (messages), width: expected int, got True"),
        (
            'kind = "tile"',
            'kind = "tile", title = "no_such"',
            "rows 1, panels 1 (messages), title: unknown Word 'no_such'",
        ),
        (
            "height = 4\npanels",
            "height = 4\nclosed = true\npanels",
            "rows 1: a row that is closed needs a heading",
        ),
        ("[[rows]]", "[rows]", "rows: expected a list"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    found = mistakes(tmp_path, GOOD.replace(old, new, 1))
    assert any(one.startswith(f"dashboards/bots.toml: {said}") for one in found), found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GOOD.replace('"bots"', '"robots"').replace("width = 6", "widht = 6"))
    assert len(found) == 3, found  # a width is missing too


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    [found] = mistakes(tmp_path, GOOD + "]")
    assert found.startswith("dashboards/bots.toml: ")


def test_a_text_that_nothing_uses_is_told(tmp_path: Path) -> None:
    more = '\n[words]\nidle = { en = "Idle", nl = "Ongebruikt" }\n'
    assert mistakes(tmp_path, GOOD + more) == []
    boards = read(CATALOG, tmp_path)
    scene = Scene("bots", boards["bots"], boards, Words(CATALOG, "en", boards["bots"].words))
    assert unused(scene) == ["dashboards/bots.toml: words, idle: nothing uses it"]


def test_ids_stay_when_a_panel_is_inserted() -> None:
    assert panel_id("experience_overview", "over_time") == panel_id("tenant", "over_time")
    assert panel_id("experience_overview", "sessions") != panel_id("experience_overview", "bounces")


@pytest.mark.parametrize(("board", "key"), [("tenant", "nothing"), ("nowhere", "sessions")])
def test_a_link_to_no_panel_is_refused(board: str, key: str) -> None:
    with pytest.raises(SpecError, match=f"{board}.toml: there is no panel with the key '{key}'"):
        panel_id(board, key)


def test_every_dashboard_has_its_file_read(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "dashboards", tmp_path / "dashboards")
    assert read(CATALOG, tmp_path) == read(CATALOG)


def test_the_command_tells_each_mistake_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(folder: Path) -> list[Path]:
        raise SpecError(["one.toml: rows 1: wrong", "two.toml: title: wrong too"])

    monkeypatch.setattr("datasource.grafana.check", refused)
    assert main(["dashboards", "--check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "chatkpi: one.toml: rows 1: wrong",
        "chatkpi: two.toml: title: wrong too",
    ]
