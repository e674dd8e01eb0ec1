"""`docs/kpis.md` and its translation: what each number counts, how, from what, in which SQL.

`python -m datasource.report.kpi_docs [FOLDER]` writes them; a test sees that they are up to date.
"""

import sys
from pathlib import Path

from datasource.catalog import DIMS, Catalog, Kpi
from datasource.catalog.files import FAMILIES

TEXTS = {
    "en": {
        "title": "KPIs",
        "intro": "Every KPI as `views/kpi/` defines it. This page is made from those files.",
        "families": ["Experience", "Modules", "Messaging", "Potential", "After sales", "Bots"],
        "how": "Counts",
        "of": "from",
        "unit": "Unit",
        "dims": "By",
        "month": "answered in whole local months",
        "sql": "In SQL",
    },
    "nl": {
        "title": "KPI's",
        "intro": "Elke KPI zoals `views/kpi/` haar definieert; deze pagina is daaruit gemaakt.",
        "families": ["Experience", "Modules", "Chats", "Potentieel", "Aftersales", "Bots"],
        "how": "Telling",
        "of": "uit",
        "unit": "Eenheid",
        "dims": "Per",
        "month": "in hele lokale maanden beantwoord",
        "sql": "In SQL",
    },
}


def build(catalog: Catalog) -> dict[str, str]:
    """The pages by their path below the repository."""
    paths = {"en": "docs/kpis.md", "nl": "docs/kpis.nl.md"}
    return {path: _page(catalog, lang) for lang, path in paths.items()}


def _page(catalog: Catalog, lang: str) -> str:
    words = TEXTS[lang]
    lines = [f"# {words['title']}", "", str(words["intro"]), ""]
    for family, name in zip(FAMILIES, words["families"], strict=True):
        lines += [f"## {name}", ""]
        for kpi in catalog.kpis.values():
            if kpi.family == family:
                lines += _entry(kpi, lang)
    return "\n".join(lines)


def _entry(kpi: Kpi, lang: str) -> list[str]:
    words = TEXTS[lang]
    title, description = kpi.words[lang]
    known = [DIMS[dim] for dim in ("tenant", *kpi.dims)]
    dims = ", ".join(dim.title_nl if lang == "nl" else dim.title for dim in known)
    grain = f" ({words['month']})" if kpi.grain == "month" else ""
    return [
        f"### {title}",
        "",
        f"`{kpi.kpi_id}` · {description}",
        "",
        f"- {words['how']}: {kpi.counting}, {words['of']} `{kpi.source}`{grain}",
        f"- {words['unit']}: {kpi.unit}",
        f"- {words['dims']}: {dims}",
        f"- {words['sql']}: `SELECT * FROM kpi.total('{kpi.kpi_id}', '2026-01-01', '2026-02-01')`",
        "",
        "```sql",
        kpi.definition,
        "```",
        "",
    ]


def main() -> None:
    """Writes the pages into the folder given, else the present one."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for path, text in build(Catalog.read()).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
