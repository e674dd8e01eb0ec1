"""The words of the dashboards in one language.

The catalogue has those of KPIs and dimensions, `values.toml` those of values of dimensions that
are no entities, `texts.toml` what several dashboards share; the rest stands in a dashboard's file.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NewType

from datasource.catalog import DIMS, Catalog
from datasource.grafana.strict import Reader, SpecError

FOLDER = Path(__file__).parent
KIND = "kind"  # no dimension: what a row behind a number is
KpiId = NewType("KpiId", str)
DimName = NewType("DimName", str)
Word = NewType("Word", str)
BoardName = NewType("BoardName", str)
RangeName = NewType("RangeName", str)


@dataclass(frozen=True)
class Text:
    """A text in every language."""

    en: str
    nl: str

    def __post_init__(self) -> None:
        if not self.en.strip() or not self.nl.strip():
            raise ValueError("a text has words in both languages")

    def within(self, language: str) -> str:
        """Return the text in a language."""
        return self.en if language == "en" else self.nl


def toml(name: str, folder: Path = FOLDER) -> dict[str, object]:
    """Return what a TOML file of this folder says. Raises SpecError when it is none."""
    try:
        return tomllib.loads((folder / name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise SpecError([f"{name}: {error}"]) from None


@cache
def shared_texts() -> Mapping[str, Text]:
    """Return the texts of texts.toml by their names. Raises SpecError."""
    return _texts("texts.toml", toml("texts.toml"))


@cache
def values() -> Mapping[str, Mapping[str, Text]]:
    """Return the words for values of dimensions: dimension → value → text. Raises SpecError."""
    told = toml("values.toml")
    if strangers := told.keys() - DIMS.keys() - {KIND}:
        raise SpecError([f"values.toml: {name}: there is no such dimension" for name in strangers])
    return {dim: _texts(f"values.toml, {dim}", of_dim) for dim, of_dim in told.items()}


def _texts(file: str, told: object) -> dict[str, Text]:
    reader = Reader(file)
    read = {name: reader.read(Text, text, name) for name, text in dict(told).items()}  # type: ignore[call-overload]
    if reader.mistakes:
        raise SpecError(reader.mistakes)
    return {name: text for name, text in read.items() if text}


@dataclass(frozen=True)
class Words:
    """The words of one dashboard in one language; `used` notes the names that were asked for."""

    catalog: Catalog
    language: str
    own: Mapping[str, Text] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def __getitem__(self, name: str) -> str:
        self.used.add(name)
        text = self.own.get(name) or shared_texts()[name]
        return text.within(self.language)

    def title(self, kpi: str) -> str:
        """Return the KPI's title."""
        return self.catalog.kpis[kpi].words[self.language][0]

    def dim(self, name: str) -> str:
        """Return the dimension's title."""
        return DIMS[name].title if self.language == "en" else DIMS[name].title_nl

    def values(self, dim: str) -> dict[str, str]:
        """Return the words for a dimension's values; what has none is shown as it is."""
        return {name: text.within(self.language) for name, text in values().get(dim, {}).items()}

    def about(self, *kpis: str) -> str:
        """Return the definition for an info tooltip; of several KPIs each after its title."""
        words = [self.catalog.kpis[kpi].words[self.language] for kpi in kpis]
        if len(words) == 1:
            return words[0][1]
        return "\n\n".join(f"**{title}**: {text}" for title, text in words)
