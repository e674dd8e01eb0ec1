"""`docs/kpis.md` and its translation: what each number counts, how, from what, in which SQL."""

import tomllib
from pathlib import Path

from datasource.catalog import DIMS, FAMILIES, Catalog, Kpi

TEXTS = tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))
ENTRY = """
### {title}

`{kpi.kpi_id}` · {description}

- {how}: {counting}{grain}
- {unit}: {kpi.unit}
- {by}: {dims}
- {sql}: `SELECT * FROM kpi.total('{kpi.kpi_id}', '2026-01-01', '2026-02-01')`

```sql
{kpi.definition}
```
"""


def build(catalog: Catalog) -> dict[str, str]:
    """Return the pages by their path below the repository."""
    pages = {"docs/kpis.md": "en", "docs/kpis.nl.md": "nl"}
    return {path: _page(catalog, language) for path, language in pages.items()}


def _page(catalog: Catalog, language: str) -> str:
    words = TEXTS[language]
    text = f"# {words['title']}\n\n{words['intro']}\n"
    for family, titles in FAMILIES.items():
        entries = (_entry(kpi, language) for kpi in catalog.kpis.values() if kpi.family == family)
        text += f"\n## {titles[language]}\n" + "".join(entries)
    return text


def _entry(kpi: Kpi, language: str) -> str:
    words = TEXTS[language]
    title, description = kpi.words[language]
    dims = [DIMS[dim] for dim in ("tenant", *kpi.dims)]
    counting = kpi.counting
    if kpi.source.lower() != counting:  # Sessions are counted from sessions: once is enough.
        counting += f", {words['of']} `{kpi.source}`"
    return ENTRY.format_map(
        words
        | {
            "kpi": kpi,
            "title": title,
            "description": description,
            "counting": counting,
            "grain": f" ({words['month']})" if kpi.grain == "month" else "",
            "dims": ", ".join(dim.title_nl if language == "nl" else dim.title for dim in dims),
        }
    )
