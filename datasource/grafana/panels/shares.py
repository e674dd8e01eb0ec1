"""Totals side by side: bars, and rings of shares."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from datasource.grafana.looks import (
    COUNT,
    fixed,
    named,
    organized,
    override,
    palette,
    sorted_by,
    worded,
)
from datasource.grafana.panels.base import Panel, jq_words, links
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
    "pieType": "pie",  # a ring is too thin for the labels
    "displayLabels": ["percent"],
    "tooltip": {"mode": "single"},
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
}
# Of a row a slice: a field of its own, for a field has a colour.
SLICES: Json = {
    "id": "rowsToFields",
    "options": {
        "mappings": [
            {"fieldName": "name", "handlerKey": "field.name"},
            {"fieldName": "value", "handlerKey": "field.value"},
            {"fieldName": "colour", "handlerKey": "color"},
        ]
    },
}
SLICE_COLUMNS = [*text("name", "colour"), VALUE]


def ring(legend: Legend) -> Json:
    """Return the options of a ring; its legend repeats the shares, for the small slices.

    Grafana has a word above the legend's absolute numbers in English only: the tooltip has them.
    """
    shown = {"displayMode": "list", "showLegend": True, "values": ["percent"]}
    return RING | {"legend": shown | {"placement": legend}}


def slices(rows: str, colours: Mapping[str, str]) -> str:
    """Return a jq program that gives the rows of another their colours, and leaves out nothings.

    Its rows have `id`, `name` and `value`; `colours` are by id. What has none gets one of the
    palette's own by its place, the largest first.
    """
    own = json.dumps(palette().slices)
    known = json.dumps(dict(colours), ensure_ascii=False)
    return (
        f"{own} as $own | {known} as $known | {rows} "
        "| map(select(.value != null and .value != 0)) | sort_by(-.value) | to_entries "
        "| map(.value + {colour: ($known[.value.id] // $own[.key % ($own | length)])})"
    )


def without_nothing(name: str) -> Json:
    """Return the transformation that leaves out rows of 0."""
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
            overrides.append(override(longest, {"displayName": "\u00a0" * 5 + titles[longest]}))
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
        names = json.dumps([{"id": kpi, "name": words.title(kpi)} for kpi in kpis])
        rows = f".[0] as $answer | {names} | map(. + {{value: $answer[.id]}})"
        colours: dict[str, str] = {
            kpi: palette().kpis[kpi] for kpi in kpis if kpi in palette().kpis
        }
        return self.made(
            scene,
            "piechart",
            [target(asked, SLICE_COLUMNS, jq=slices(rows, colours))],
            options=ring(self.legend),
            transformations=[SLICES],
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

    def heading(self, scene: Scene) -> str:
        """Return the panel's title unless the file has one."""
        words = scene.words
        return words["by"].format(
            words.title(self.kpi) if self.kpi else scene.metric.formatted("text"),
            words.dim(self.dim).lower(),
        )


@dataclass(frozen=True, kw_only=True)
class SplitRing(Split):
    """The same as shares of a ring."""

    legend: Legend = "bottom"

    def build(self, scene: Scene) -> Json:  # noqa: D102
        asked, name = self.asked(scene), f"{self.dim}_name"
        worded = jq_words(scene.words, self.dim, name) or "."
        rows = f"{worded} | map({{id: .{self.dim}, name: .{name}, value}})"
        colours = palette().values.get(self.dim, {})
        return self.made(
            scene,
            "piechart",
            [target(asked, SLICE_COLUMNS, jq=slices(rows, colours))],
            note="shares_about",
            title=self.heading(scene),
            options=ring(self.legend),
            fields={"unit": COUNT[0]},
            transformations=[SLICES],
            links=links(scene, [self.kpi or scene.metric], asked),
        )


@dataclass(frozen=True, kw_only=True)
class SplitBars(Split):
    """The same as bars."""

    def build(self, scene: Scene) -> Json:  # noqa: D102
        roles = palette().roles
        colour = palette().kpis.get(self.kpi, roles["metric"]) if self.kpi else roles["metric"]
        asked, name = self.asked(scene), f"{self.dim}_name"
        return self.made(
            scene,
            "bargauge",
            [target(asked, [*text(name), VALUE])],
            title=self.heading(scene),
            options=BARS | {"reduceOptions": OF_ROWS},
            fields={"unit": COUNT[0]},
            overrides=[
                override(name, {"mappings": worded(scene.words, self.dim)}),
                override("value", {"min": 0} | fixed(colour)),
            ],
            transformations=[sorted_by("value", largest_first=True), without_nothing("value")],
            links=links(scene, [self.kpi or scene.metric], asked),
        )
