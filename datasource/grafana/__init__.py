"""Grafana's side, made from the catalogue: dashboards, data sources, alert rules.

Each file in dashboards/ describes a dashboard, which every language has.
"""

import json
from functools import cache
from pathlib import Path

from datasource.catalog import Catalog
from datasource.grafana.boards import read, scenes
from datasource.grafana.frame import dashboard
from datasource.grafana.panels.base import panel_number
from datasource.grafana.scene import Scene
from datasource.grafana.spec import Board
from datasource.grafana.strict import SpecError
from datasource.grafana.words import FOLDER, LANGUAGES, shared_texts


def build(catalog: Catalog) -> dict[str, str]:
    """Return all generated files: path below the top folder → content. Raises SpecError."""
    templates = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("templates/*")}
    head, provider = templates.pop("dashboards.yaml").split("---\n")
    files = {f"provisioning/{name.replace('.', '/', 1)}": text for name, text in templates.items()}
    boards = read(catalog)
    mistakes, used = list[str](), {"chosen_metric"}  # which the page of a dashboard uses
    for language in LANGUAGES:
        titles: dict[str, str] = {}
        for scene in scenes(catalog, boards, language):
            family = scene.board.family
            titles[family] = scene.words[f"in_{family}"]
            text = json.dumps(dashboard(scene), ensure_ascii=False, indent=1) + "\n"
            files[f"dashboards_json/{language}/{family}/{scene.name}.json"] = text
            used |= scene.words.used
            mistakes += unused(scene)
        for family_name, title in titles.items():
            folder = f"{title} ({'Nederlands' if language == 'nl' else 'English'})"
            head += provider.format(language=language, family=family_name, title=folder)
    mistakes += [f"texts.toml: {name}: nothing uses it" for name in shared_texts().keys() - used]
    if mistakes:
        raise SpecError(sorted(set(mistakes)))
    return files | {"provisioning/dashboards/chatkpi.yaml": head}


def unused(scene: Scene) -> list[str]:
    """Return the mistakes of texts in a dashboard's file that it does not use."""
    left = scene.board.words.keys() - scene.words.used
    return [f"dashboards/{scene.name}.toml: words, {name}: nothing uses it" for name in left]


@cache
def _boards() -> dict[str, Board]:
    return read(Catalog.read())


def panel_id(board: str, key: str) -> int:
    """Return the id of a dashboard's panel, for links and alert rules that name it by its key.

    Raises SpecError when there is no such panel.
    """
    boards = _boards()
    rows = boards[board].rows if board in boards else ()
    keys = {panel.key for row in rows for panel in row.panels}
    keys |= {kpi for row in rows for kpi in row.tiles}
    if key not in keys:
        raise SpecError([f"dashboards/{board}.toml: there is no panel with the key {key!r}"])
    return panel_number(key)


def check(folder: Path) -> list[Path]:
    """Return the paths below `folder` that are not as `write` makes them.

    They are other, missing or left over.
    """
    files = {folder / name: text for name, text in build(Catalog.read()).items()}
    there = set(folder.glob("dashboards_json/**/*.json"))
    return sorted(
        (there - files.keys())
        | {
            path
            for path, text in files.items()
            if not path.is_file() or path.read_text(encoding="utf-8") != text
        }
    )


def write(folder: Path) -> list[Path]:
    """Bring the files below `folder` up to date; return what was written or removed."""
    changed, files = check(folder), build(Catalog.read())
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = files.get(path.relative_to(folder).as_posix())
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
    return changed
