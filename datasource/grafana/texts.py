"""The words of the dashboards: the catalogue's for KPIs and dimensions, `texts.toml` for others."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from datasource.catalog import DIMS, Catalog

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "nl")
TEXTS = tomllib.loads((FOLDER / "texts.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Words:
    """The words of one language."""

    catalog: Catalog
    language: str

    def __getitem__(self, key: str) -> str:
        return str(TEXTS[key][LANGUAGES.index(self.language)])

    def title(self, kpi: str) -> str:
        """The KPI's title."""
        return self.catalog.kpis[kpi].words[self.language][0]

    def dim(self, name: str) -> str:
        """The dimension's title."""
        return DIMS[name].title if self.language == "en" else DIMS[name].title_nl

    def about(self, *kpis: str) -> str:
        """The definition for an info tooltip; of several KPIs each after its title."""
        words = [self.catalog.kpis[kpi].words[self.language] for kpi in kpis]
        if len(words) == 1:
            return words[0][1]
        return "\n\n".join(f"**{title}**: {text}" for title, text in words)
