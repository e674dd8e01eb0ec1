"""The catalogue of a folder of definitions."""

from pathlib import Path
from shutil import copytree

from datasource.catalog import Catalog, views_folder


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
