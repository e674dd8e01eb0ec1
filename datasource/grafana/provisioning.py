"""All files that Grafana is provisioned with: dashboards, and how to find them and their data."""

import json
from pathlib import Path

from datasource.catalog import Catalog
from datasource.grafana.dashboards import experience_overview
from datasource.grafana.texts import FOLDER, LANGUAGES, Words

DASHBOARDS = {"experience": {"experience_overview": experience_overview.build}}  # by family


def build(catalog: Catalog) -> dict[str, str]:
    """Every generated file: path below the top folder → content."""
    templates = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("templates/*")}
    head, provider = templates.pop("dashboards.yaml").split("---\n")
    files = {f"provisioning/{name.replace('.', '/', 1)}": text for name, text in templates.items()}
    for language in LANGUAGES:
        words = Words(catalog, language)
        for family, builders in DASHBOARDS.items():
            head += provider.format(language=language, family=family, title=words[f"in_{family}"])
            for name, builder in builders.items():
                content = json.dumps(builder(words), ensure_ascii=False, indent=1)
                files[f"dashboards_json/{language}/{family}/{name}.json"] = content + "\n"
    return files | {"provisioning/dashboards/chatkpi.yaml": head}


def check(folder: Path) -> list[Path]:
    """The paths below `folder` that are not as `write` makes them: other, missing or left over."""
    files = {folder / name: text for name, text in build(Catalog.read()).items()}
    there = set(folder.glob("dashboards_json/**/*.json"))
    return sorted((there - files.keys()) | {
        path for path, text in files.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text})


def write(folder: Path) -> list[Path]:
    """Bring the files below `folder` up to date; return what was written or removed."""
    changed, files = check(folder), build(Catalog.read())
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = files.get(path.relative_to(folder).as_posix())
        path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    return changed
