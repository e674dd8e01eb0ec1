"""Grafana's side, made from the catalogue: dashboards, data sources, alert rules.

Each file in dashboards/ describes a dashboard, which every language has.
"""

import json
from pathlib import Path

from datasource.catalog import Catalog
from datasource.grafana.dashboard import read
from datasource.grafana.texts import FOLDER, LANGUAGES, Words


def build(catalog: Catalog) -> dict[str, str]:
    """All generated files: path below the top folder → content."""
    templates = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("templates/*")}
    head, provider = templates.pop("dashboards.yaml").split("---\n")
    files = {f"provisioning/{name.replace('.', '/', 1)}": text for name, text in templates.items()}
    for language in LANGUAGES:
        words, families = Words(catalog, language), dict[str, None]()
        for path in sorted(FOLDER.glob("dashboards/*.toml")):
            board = read(words, path.stem)
            *_, family = board["tags"]
            families[family] = None
            text = json.dumps(board, ensure_ascii=False, indent=1) + "\n"
            files[f"dashboards_json/{language}/{family}/{path.stem}.json"] = text
        for family in families:
            head += provider.format(language=language, family=family, title=words[f"in_{family}"])
    return files | {"provisioning/dashboards/chatkpi.yaml": head}


def check(folder: Path) -> list[Path]:
    """The paths below `folder` that are not as `write` makes them: other, missing or left over."""
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
        path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    return changed
