"""Totals side by side: bars, and rings of shares."""

from dataclasses import dataclass
from typing import Literal

from datasource.grafana.looks import (
    COUNT,
    coloured,
    fixed,
    mapped,
    named,
    organized,
    override,
    palette,
    sorted_by,
    worded,
)
from datasource.grafana.panels.base import Panel, links
from datasource.grafana.question import VALUE, Json, Question, numbers, target, text
from datasource.grafana.scene import Scene
from datasource.grafana.words import DimName, KpiId

# Every number of every row, whatever their field is called by now.
OF_ROWS: Json = {"calcs": [], "fields": "", "values": True, "limit": 100}
BARS: Json = {
    "orientation": "horizontal",
    "displayMode": "gradient",
    "namePlacement": "left",
    "showUnfilled": True,
    "sizing": "manual",
    "minVizHeight": 16,
    "maxVizHeight": 34,  # a name gets a width by this height, at most 40 % of the panel
    "valueMode": "text",
    "text": {"valueSize": 14, "titleSize": 12},
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
}
Legend = Literal["bottom", "right"]  # at the right of a panel that is low and wide
RING: Json = {
    "pieType": "donut",
    "displayLabels": ["percent"],
    "tooltip": {"mode": "single"},
    "reduceOptions": OF_ROWS,
}
# From a row of KPIs to a row a KPI: the fields `Field` and `Last`.
TURNED: Json = {"id": "reduce", "options": {"mode": "seriesToRows", "reducers": ["last"]}}


def ring(legend: Legend) -> Json:
    """Return the options of a ring, whose legend and tooltip tell the absolute numbers."""
    shown = {"displayMode": "table", "showLegend": True, "values": ["value"]}
    return RING | {"legend": shown | {"placement": legend}}


def without_nothing(name: str) -> Json:
    """Return the transformation that leaves out rows of 0: a ring of nothing then says so."""
    zero = {"fieldName": name, "config": {"id": "equal", "options": {"value": 0}}}
    return {
        "id": "filterByValue",
        "options": {"type": "exclude", "match": "any", "filters": [zero]},
    }


@dataclass(frozen=True, kw_only=True)
class Bars(Panel):
    """Totals of KPIs as bars in their order, which need not decrease; none: the choice's."""

    kpis: tuple[KpiId, ...] = ()

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return self.kpis or scene.chosen

    def build(self, scene: Scene) -> Json:  # noqa: D102
        kpis = self.shown(scene)
        asked = scene.question(kpis, shape="total")
        overrides = named(scene.words, kpis)
        titles = {kpi: scene.words.title(kpi) for kpi in kpis}
        longest = max(kpis, key=lambda kpi: len(titles[kpi]))
        if len(titles[longest]) < 16:
            # All names get the width of the first of the longest, counted in letters; others of as
            # many letters can be wider. Blanks make room; long names have 40 % of the panel anyway.
            overrides.append(override(longest, {"displayName": titles[longest] + "\u00a0" * 5}))
        return self.made(
            scene,
            "bargauge",
            [target(asked, numbers(*kpis))],
            options=BARS,
            fields={"min": 0},
            overrides=overrides,
            transformations=[organized(*kpis)],
            links=links(scene, kpis, asked),
        )


@dataclass(frozen=True, kw_only=True)
class Ring(Panel):
    """Totals of KPIs as shares of a ring."""

    kpis: tuple[KpiId, ...]
    legend: Legend = "bottom"

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return self.kpis

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, kpis = scene.words, self.kpis
        asked = scene.question(kpis, shape="total")
        texts: dict[str, str] = {kpi: words.title(kpi) for kpi in kpis}
        colours = [
            override(texts[kpi], fixed(palette().kpis[kpi]))
            for kpi in kpis
            if kpi in palette().kpis
        ]
        return self.made(
            scene,
            "piechart",
            [target(asked, numbers(*kpis))],
            options=ring(self.legend),
            overrides=[
                override("Field", {"mappings": mapped(texts)}),
                *colours,
            ],
            transformations=[organized(*kpis), TURNED, without_nothing("Last")],
            links=links(scene, kpis, asked),
        )


@dataclass(frozen=True, kw_only=True)
class Split(Panel):
    """A KPI's total for each value of a dimension, the largest first; none: the picked metric."""

    dim: DimName
    kpi: KpiId | None = None

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return (self.kpi,) if self.kpi else scene.chosen

    def asked(self, scene: Scene) -> Question:
        """Return the question."""
        if self.kpi:
            return scene.question([self.kpi], shape="total", by=[self.dim])
        return scene.question_on_metric(shape="total", by=[self.dim])

    def split(self, scene: Scene, kind: str, options: Json, *overrides: Json) -> Json:
        """Return the panel, of one of Grafana's kinds."""
        words, asked = scene.words, self.asked(scene)
        name = f"{self.dim}_name"
        title = words["by"].format(
            words.title(self.kpi) if self.kpi else scene.metric.formatted("text"),
            words.dim(self.dim).lower(),
        )
        return self.made(
            scene,
            kind,
            [target(asked, [*text(name), VALUE])],
            title=title,
            options=options | {"reduceOptions": OF_ROWS},
            fields={"unit": COUNT[0]},
            overrides=[override(name, {"mappings": worded(words, self.dim)}), *overrides],
            transformations=[sorted_by("value", largest_first=True), without_nothing("value")],
            links=links(scene, [self.kpi or scene.metric], asked),
        )


@dataclass(frozen=True, kw_only=True)
class SplitRing(Split):
    """The same as shares of a ring."""

    legend: Legend = "bottom"

    def build(self, scene: Scene) -> Json:  # noqa: D102
        return self.split(scene, "piechart", ring(self.legend), *coloured(scene.words, self.dim))


@dataclass(frozen=True, kw_only=True)
class SplitBars(Split):
    """The same as bars."""

    def build(self, scene: Scene) -> Json:  # noqa: D102
        roles = palette().roles
        colour = palette().kpis.get(self.kpi, roles["metric"]) if self.kpi else roles["metric"]
        return self.split(scene, "bargauge", BARS, override("value", {"min": 0} | fixed(colour)))
