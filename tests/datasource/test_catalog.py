"""The catalogue of a folder of definitions."""

from pathlib import Path
from shutil import copytree

import pytest

from datasource.catalog import FAMILIES, Catalog, DefinitionError, views_folder


def test_kpis_come_in_the_order_in_which_people_read_them(tmp_path: Path) -> None:
    kpis = Catalog.read().kpis
    listed = (views_folder() / "kpi" / "order.txt").read_text().splitlines()[1:]
    assert list(kpis) == listed, (
        "views/kpi/order.txt names every KPI once, a family after the other"
    )
    copytree(views_folder(), tmp_path / "views")
    for ending in ("sql", "nl.txt"):
        (tmp_path / f"views/kpi/experience/a_new_one.{ending}").write_bytes(
            (views_folder() / f"kpi/experience/sessions.{ending}").read_bytes()
        )
    more = list(Catalog.read(tmp_path / "views").kpis)
    assert set(more) - set(kpis) == {"a_new_one"}
    assert kpis[more[more.index("a_new_one") - 1]].family == "experience"
    assert kpis[more[more.index("a_new_one") + 1]].family == "module"


def test_everything_that_is_wrong_with_a_file_is_told_at_once(tmp_path: Path) -> None:
    copytree(views_folder(), tmp_path / "views")
    path = tmp_path / "views/kpi/experience/sessions.sql"
    wrong = path.read_text("utf-8").replace("-- unit: none\n", "").replace("device\n", "planet\n")
    path.write_text("-- colour: red\n" + wrong, "utf-8")
    with pytest.raises(DefinitionError) as caught:
        Catalog.read(tmp_path / "views")
    for mistake in ("sessions.sql", "no `-- unit", "unknown header colour", "dimension planet"):
        assert mistake in str(caught.value)


def test_families_are_the_folders_of_kpis() -> None:
    folders = {path.name for path in (views_folder() / "kpi").iterdir() if path.is_dir()}
    assert FAMILIES.keys() == folders
    assert all(titles.keys() == {"en", "nl"} for titles in FAMILIES.values())
