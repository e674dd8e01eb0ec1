"""Colours, overrides and transformations: the parts of which panels' looks are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from datasource.catalog import DIMS, Catalog
from datasource.grafana.question import Json
from datasource.grafana.strict import Reader, SpecError
from datasource.grafana.words import DimName, KpiId, Words, toml

Bands = dict[str, str]
MOMENT = "time:YYYY-MM-DD HH:mm"
DATE = "time:YYYY-MM-DD"
UNITS = {"minutes": ("suffix: min", 1), "percent": ("percent", 1), "score -100..100": ("locale", 1)}
COUNT = ("locale", 0)  # the unit `short` turns 1,395 into "1 K"
# A table's cells whose text goes on in more lines, where it would be cut.
WRAPPED: Json = {"cellOptions": {"type": "auto", "wrapText": True}}


@dataclass(frozen=True)
class Palette:
    """The colours of `palette.toml`, by what they mean."""

    slices: tuple[str, ...]
    kpis: dict[KpiId, str]
    roles: dict[str, str]
    values: dict[DimName, dict[str, str]]
    tints: dict[str, Bands]
    bands: dict[str, Bands]

    def tint(self, kpi: str) -> Bands:
        """Return the tints of a KPI's tile, from a value on."""
        return self.tints.get(kpi, self.tints["other"])


@cache
def palette() -> Palette:
    """Return the colours. Raises SpecError."""
    kpis = Catalog.read().kpis
    reader = Reader("palette.toml", {KpiId: kpis, DimName: DIMS})
    read = reader.read(Palette, toml("palette.toml"))
    if read:
        for name in read.tints.keys() - kpis.keys() - {"other"}:
            reader.refuse("tints", f"there is no KPI {name!r}")
    if not read or reader.mistakes:
        raise SpecError(reader.mistakes)
    return read


def unit(words: Words, kpi: str) -> Json:
    """Return the unit of a KPI's numbers and their decimals."""
    name, decimals = UNITS.get(words.catalog.kpis[kpi].unit, COUNT)
    return {"unit": name, "decimals": decimals}


def bands(colours: Mapping[str, str]) -> Json:
    """Return colouring by thresholds: `base`, and others from a value on."""
    steps = [
        {"color": colour, "value": None if start == "base" else float(start)}
        for start, colour in colours.items()
    ]
    return {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": steps}}


def tint(colour: str) -> str:
    """Return the colour that, a quarter opaque, looks like `colour` on white, and calm on dark."""
    parts = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{max(0, 4 * part - 3 * 255):02x}" for part in parts) + "40"


def fixed(colour: str) -> Json:
    """Return the property that gives one colour."""
    return {"color": {"mode": "fixed", "fixedColor": colour}}


def override(name: str, properties: Mapping[str, Any], *, by: str = "byName") -> Json:
    """Return properties of the field of this name, or of the frames of a target by `byFrameRefID`.

    The properties of `custom` are a table of their own.
    """
    flat = {key: value for key, value in properties.items() if key != "custom"}
    flat |= {f"custom.{key}": value for key, value in properties.get("custom", {}).items()}
    return {
        "matcher": {"id": by, "options": name},
        "properties": [{"id": key, "value": value} for key, value in flat.items()],
    }


def named(words: Words, kpis: Sequence[str], *, nothing: str = "") -> list[Json]:
    """Return overrides that give the fields called by KPIs' ids their titles, units and colours.

    `nothing`: what a field without a value shows.
    """
    empty = [{"type": "special", "options": {"match": "null", "result": {"text": nothing}}}]
    found = []
    for kpi in kpis:
        properties = {"displayName": words.title(kpi), **unit(words, kpi)}
        if nothing:
            properties["mappings"] = empty
        if kpi in palette().kpis:
            properties |= fixed(palette().kpis[KpiId(kpi)])
        found.append(override(kpi, properties))
    return found


def mapped(texts: Mapping[str, str]) -> list[Json]:
    """Return the value mappings that show texts in place of values."""
    options = {value: {"text": text, "index": n} for n, (value, text) in enumerate(texts.items())}
    return [{"type": "value", "options": options}] if texts else []


def worded(words: Words, dim: str) -> list[Json]:
    """Return the value mappings that show a dimension's values in words."""
    return mapped(words.values(dim))


def organized(*order: str, hidden: Sequence[str] = (), titles: Mapping[str, str] = {}) -> Json:
    """Return the transformation that puts fields in this order, leaves out some, names others."""
    return {
        "id": "organize",
        "options": {
            "indexByName": {name: place for place, name in enumerate(order)},
            "excludeByName": dict.fromkeys(hidden, True),
            "renameByName": dict(titles),
        },
    }


def sorted_by(name: str, *, largest_first: bool = False) -> Json:
    """Return the transformation that sorts the rows."""
    return {"id": "sortBy", "options": {"sort": [{"field": name, "desc": largest_first}]}}


def added(alias: str, left: str | float, operator: str, right: str | float) -> Json:
    """Return the transformation that adds a field: two fields, or numbers, calculated."""

    def side(one: str | float) -> Json:
        if isinstance(one, str):
            return {"matcher": {"id": "byName", "options": one}}
        return {"fixed": str(one)}

    binary = {"left": side(left), "operator": operator, "right": side(right)}
    options = {"mode": "binary", "alias": alias, "binary": binary}
    return {"id": "calculateField", "options": options}


def link(title: str, url: str, *, new_tab: bool = False) -> Json:
    """Return a link of a panel or of a cell."""
    return {"title": title, "url": url, "targetBlank": new_tab}
