"""Charts over time: lines, comparisons with earlier periods, months against their potential."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from datasource.grafana.looks import fixed, named, organized, override, palette
from datasource.grafana.panels.base import Panel, jq_words, links, picked
from datasource.grafana.question import TIME, VALUE, Column, Json, Question, series_target, target
from datasource.grafana.scene import Scene
from datasource.grafana.words import DimName, KpiId

OPTIONS: Json = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
DRAWN: Json = {
    "drawStyle": "line",
    "lineWidth": 2,
    "fillOpacity": 8,
    "gradientMode": "opacity",
    "showPoints": "auto",
    "pointSize": 4,
    "axisSoftMin": 0,
    "barMaxWidth": 60,
    "spanNulls": False,
}
DASHED: Json = {"fillOpacity": 0, "lineStyle": {"fill": "dash", "dash": [6, 5]}}
LINE: Json = {"fillOpacity": 0, "showPoints": "always", "pointSize": 7, "lineWidth": 3}
BARS: Json = {"drawStyle": "bars", "fillOpacity": 55, "lineWidth": 0, "gradientMode": "none"}
STACKED: Json = BARS | {"fillOpacity": 70, "stacking": {"mode": "normal", "group": "kinds"}}
# Months and days that are named stand at their middle: their first instant has another name in
# other zones.
HALF_A_MONTH, HALF_A_DAY = "map(.time += 1296000000)", "map(.time += 43200000)"
# The axis and the tooltip name months; else they have days such as 11/01.
MONTH_NAMES = override("time", {"unit": "time:MMM YYYY"})
MONTH_AXIS = 48  # pixels left of a chart: half of the first month's name stands there


def drawn(**more: Any) -> Json:
    """Return the fields' properties of lines; `more` are drawn otherwise."""
    return {"custom": DRAWN | more}


@dataclass(frozen=True, kw_only=True)
class Lines(Panel):
    """KPIs over time, a line each."""

    kpis: tuple[KpiId, ...]
    shape: Literal["series", "cumulative"] = "series"

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return self.kpis

    def build(self, scene: Scene) -> Json:  # noqa: D102
        kpis = self.shown(scene)
        questions = {kpi: scene.question([kpi], shape=self.shape) for kpi in kpis}
        return self.made(
            scene,
            "timeseries",
            [series_target(questions)],
            options=OPTIONS,
            fields=drawn(),
            overrides=named(scene.words, kpis),
            transformations=[organized("time", *kpis)],
            links=links(scene, kpis, scene.question(kpis, shape=self.shape)),
        )


@dataclass(frozen=True, kw_only=True)
class ChosenLines(Lines):
    """Those of the dashboard's choice that the viewer picked, over time."""

    kpis: tuple[KpiId, ...] = ()

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return scene.chosen

    def build(self, scene: Scene) -> Json:  # noqa: D102
        made = super().build(scene)
        kept = picked(scene, ["time"])
        return made | {"transformations": [*made["transformations"], kept]}


@dataclass(frozen=True, kw_only=True)
class MetricLine(Panel):
    """The picked metric over time."""

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return scene.chosen

    def build(self, scene: Scene) -> Json:  # noqa: D102
        asked = scene.question_on_metric(shape="series")
        title = {"displayName": scene.metric.formatted("text"), **fixed(palette().roles["metric"])}
        return self.made(
            scene,
            "timeseries",
            [target(asked, [TIME, VALUE], is_series=True)],
            title=scene.metric.formatted("text"),
            options=OPTIONS,
            fields=drawn(),
            overrides=[override("value", title)],
            links=links(scene, [scene.metric], asked),
        )


@dataclass(frozen=True, kw_only=True)
class Compared(Panel):
    """A KPI over time and, dashed, the period of the same length before."""

    kpi: KpiId

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return (self.kpi,)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, before = scene.words, "previous"
        asked = scene.question([self.kpi], shape="series", compare=before)
        columns = [TIME, Column("value", text=self.kpi), Column(before)]
        dashed = {"displayName": words[before], **fixed(palette().roles[before]), "custom": DASHED}
        return self.made(
            scene,
            "timeseries",
            [target(asked, columns, is_series=True)],
            title=words["with_previous"].format(words.title(self.kpi)),
            options=OPTIONS,
            fields=drawn(),
            overrides=[*named(words, [self.kpi]), override(before, dashed)],
            transformations=[organized("time", self.kpi, before)],
            links=links(scene, [self.kpi], asked),
        )


@dataclass(frozen=True, kw_only=True)
class Usual(Panel):
    """A KPI on the last seven whole days, each beside the mean of its weekday in four weeks before.

    The days stand as names under bars: on an axis of time they would have to lie in the range that
    is chosen.
    """

    kpi: KpiId

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return (self.kpi,)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, usual = scene.words, "usual"
        asked = scene.question([self.kpi], shape="series", compare=usual, last="7 days")
        columns = [TIME, Column("value", text=self.kpi), Column(usual)]
        looks = {"displayName": words[usual], **fixed(palette().roles[usual])}
        return self.made(
            scene,
            "barchart",
            [target(asked, columns, jq=HALF_A_DAY)],
            title=words["with_usual"].format(words.title(self.kpi)),
            options=OPTIONS | {"xField": "time", "groupWidth": 0.75, "orientation": "vertical"},
            fields={"custom": {"fillOpacity": 80, "lineWidth": 0, "axisSoftMin": 0}},
            overrides=[
                *named(words, [self.kpi]),
                override(usual, looks),
                override("time", {"unit": "time:MM-DD"}),
            ],
            transformations=[organized("time", self.kpi, usual)],
            links=links(scene, [self.kpi], asked),
        )


@dataclass(frozen=True, kw_only=True)
class LinesBy(Panel):
    """The picked metrics over time, a chart each with a line for each value of a dimension."""

    dim: DimName

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return scene.chosen

    def build(self, scene: Scene) -> Json:  # noqa: D102
        asked = scene.question_on_metric(shape="series", by=[self.dim])
        name = f"{self.dim}_name"
        columns = [TIME, Column(name, "string"), VALUE]
        return self.made(
            scene,
            "timeseries",
            [target(asked, columns, is_series=True, jq=jq_words(scene.words, self.dim, name))],
            title=scene.metric.formatted("text"),
            options=OPTIONS,
            fields=drawn() | {"displayName": f"${{__field.labels.{name}}}"},
            links=links(scene, [scene.metric], asked),
        ) | {"repeat": scene.metric.name, "repeatDirection": "h", "maxPerRow": 2}


@dataclass(frozen=True, kw_only=True)
class Months(Panel):
    """A KPI of grain month as a green line over its potential as blue bars."""

    kpi: KpiId
    potential: KpiId

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return (self.kpi, self.potential)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        drawn_in_order = (self.potential, self.kpi)
        questions: dict[str, Question] = {
            kpi: scene.question([kpi], shape="series") for kpi in drawn_in_order
        }
        overrides = [MONTH_NAMES, *named(words, self.shown(scene))]
        overrides += [override(self.potential, {"custom": BARS})]
        overrides += [override(self.kpi, {"custom": LINE})]
        return self.made(
            scene,
            "timeseries",
            [series_target(questions, jq=HALF_A_MONTH)],
            options=OPTIONS,
            fields=drawn(axisWidth=MONTH_AXIS),
            overrides=overrides,
            transformations=[organized("time", *questions)],
            links=links(scene, self.shown(scene), questions[self.kpi]),
        )


@dataclass(frozen=True, kw_only=True)
class StackedMonths(Panel):
    """A KPI of grain month as bars stacked by a dimension, under a benchmark as a grey line."""

    kpi: KpiId
    dim: DimName
    benchmark: KpiId

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return (self.kpi, self.benchmark)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        by_kind = scene.question([self.kpi], shape="series", by=[self.dim])
        expected = scene.question([self.benchmark], shape="series")
        overrides = [MONTH_NAMES, *named(words, [self.benchmark])]
        overrides += [override(self.benchmark, {"custom": LINE})]
        questions = {}
        for value, name in words.values(self.dim).items():
            filters = {**by_kind.filters, self.dim: value}
            questions[value] = replace(by_kind, by=(), filters=filters)
            colour = palette().values[self.dim][value]
            stacked = {"displayName": name, **fixed(colour), "custom": STACKED}
            overrides.append(override(value, stacked))
        questions[self.benchmark] = expected
        return self.made(
            scene,
            "timeseries",
            [series_target(questions, jq=HALF_A_MONTH)],
            options=OPTIONS,
            fields=drawn(axisWidth=MONTH_AXIS),
            overrides=overrides,
            transformations=[organized("time", *questions)],
            links=links(scene, [self.kpi], by_kind) + links(scene, [self.benchmark], expected),
        )
