"""`docs/dashboards.md`: every dashboard with its panels, and the KPIs that each panel shows."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args, get_type_hints

from datasource.catalog import DIMS, FAMILIES, Catalog
from datasource.grafana.boards import read, scenes
from datasource.grafana.guide import guide_of
from datasource.grafana.scene import Scene, uid
from datasource.grafana.spec import Board

PATH = "docs/dashboards.md"
TEMPLATE = Path(__file__).with_name("dashboards.template.md")
PLACE = "{list}\n"  # the line of the template in whose place the list comes
HOME = "Home"


def build(catalog: Catalog) -> dict[str, str]:
    """Return the page by its path below the repository. Raises SpecError."""
    every = scenes(catalog, read(catalog), "en")
    families = get_args(get_type_hints(Board)["family"])
    ordered = sorted(
        every, key=lambda scene: (families.index(scene.board.family), scene.board.place)
    )
    text = "| dashboard | what it is for |\n|---|---|\n"
    text += "".join(_line(scene) for scene in ordered) + "\n"
    text += "".join(_section(scene) for scene in ordered)
    return {PATH: TEMPLATE.read_text(encoding="utf-8").replace(PLACE, text)}


def _title(scene: Scene) -> str:
    return scene.board.title.within("en")


def _line(scene: Scene) -> str:
    """Return a dashboard's row of the table of all, with a link to its section."""
    title = _title(scene)
    anchor = title.lower().replace(" ", "-")
    return f"| [{title}](#{anchor}) | {scene.board.about.within('en')} |\n"


def _section(scene: Scene) -> str:
    """Return what the page says of a dashboard: where it is, its filters, its panels."""
    family = FAMILIES[scene.board.family]["en"] if scene.board.family in FAMILIES else HOME
    address = f"`/d/{uid(scene.name, 'en')}`"
    titles = [DIMS[one.dim].title for one in scene.board.filters if not one.hidden]
    filters = ", ".join(["tenant", *titles]).lower()
    where = f"Folder *{family} (English)*, {address}. Filters: {filters}."
    panels = "".join(f"| {title} | {shown} |\n" for title, shown in _panels(scene))
    return f"### {_title(scene)}\n\n{where}\n\n| panel | shows |\n|---|---|\n{panels}\n"


def _panels(scene: Scene) -> Iterator[tuple[str, str]]:
    """Give each panel's title, and its KPIs or else what it is in words."""
    named = set[str]()
    for section in guide_of(scene).sections:
        named |= {*section.kpis}
        words = " ".join(paragraph.text for paragraph in section.paragraphs)
        yield section.title, _ids(section.kpis) or words
    more = [kpi for row in scene.board.rows for panel in row.panels for kpi in panel.shown(scene)]
    if more := [kpi for kpi in dict.fromkeys(more) if kpi not in named]:
        yield "Depending on what is picked", _ids(more)


def _ids(kpis: Iterable[str]) -> str:
    return ", ".join(f"`{kpi}`" for kpi in kpis)
