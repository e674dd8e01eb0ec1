"""Tables: metrics to pick from, weekdays and hours, groups with several KPIs, conversations."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from datasource.grafana.looks import (
    MOMENT,
    link,
    named,
    organized,
    override,
    worded,
)
from datasource.grafana.panels.base import Panel, links
from datasource.grafana.question import (
    TIME,
    Column,
    Json,
    Question,
    numbers,
    target,
    text,
)
from datasource.grafana.scene import Scene
from datasource.grafana.words import BoardName, DimName, KpiId

OPTIONS: Json = {"showHeader": True, "cellHeight": "sm"}
HIDDEN: Json = {"custom": {"hidden": True}}  # for links, which see the fields of their row only
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def column(title: str, width: int = 0, **more: Any) -> Json:
    """Return the properties of a column; `width` in pixels."""
    custom = more.pop("custom", {}) | ({"width": width} if width else {})
    return {"displayName": title, "custom": custom, **more}


@dataclass(frozen=True, kw_only=True)
class Picker(Panel):
    """The metrics to pick from, with totals and definitions; the picked one is marked."""

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return scene.chosen

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, kpis = scene.words, scene.chosen
        asked = scene.question(kpis, shape="total")
        metrics = [
            {"kpi": kpi, "title": words.title(kpi), "about": words.about(kpi)} for kpi in kpis
        ]
        marked = (
            f".[0] as $answer | {json.dumps(metrics, ensure_ascii=False)} | map(. + "
            f"{{value: $answer[.kpi], title: ((if .kpi == {scene.metric} then "
            '"●" else "○" end)'
            ' + "  " + .title)})'
        )
        pick = scene.url(scene.name, {scene.metric.name: "${__data.fields.kpi}"})
        title = {
            "custom": {"tooltip": {"field": "about", "placement": "right"}, "minWidth": 120},
            "links": [link(words["pick"], pick)],
        }
        return self.made(
            scene,
            "table",
            [target(asked, [*text("kpi", "title", "about"), *numbers("value")], jq=marked)],
            title=words["metrics"],
            options=OPTIONS | {"showHeader": False},
            overrides=[
                override("kpi", HIDDEN),
                override("about", HIDDEN),
                override("title", title),
                override("value", {"custom": {"width": 70, "align": "right"}}),
            ],
            transformations=[organized("title", "value", "kpi", "about")],
            links=links(scene, kpis, asked),
        )


@dataclass(frozen=True, kw_only=True)
class Matrix(Panel):
    """The picked metric by weekday and hour, an average per date, the busiest darkest."""

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return scene.chosen

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        asked = scene.question_on_metric(shape="distribution")
        coloured = {"type": "color-background", "mode": "basic"}
        return self.made(
            scene,
            "table",
            [target(asked, [*text("hour"), *numbers(*WEEKDAYS)])],
            title=scene.metric.formatted("text"),
            options=OPTIONS,
            fields={
                "decimals": 1,
                "min": 0,
                "color": {"mode": "continuous-blues"},
                "custom": {"cellOptions": coloured, "align": "center", "minWidth": 50},
            },
            overrides=[
                override(
                    "hour",
                    {
                        **column(words["hour"], 70),
                        "custom": {"width": 70, "cellOptions": {"type": "auto"}},
                    },
                ),
                *(override(day, {"displayName": words[day]}) for day in WEEKDAYS),
            ],
            transformations=[organized("hour", *WEEKDAYS)],
            links=links(scene, [scene.metric], asked),
        )


@dataclass(frozen=True, kw_only=True)
class Groups(Panel):
    """KPIs for each value of a dimension, a row each; none: the picked ones of the choice.

    `every`: active ones without anything are listed too. `opens`: the dashboard that a row's
    name opens, with the value set. `described`: bots have their descriptions beside them.
    """

    dim: DimName
    kpis: tuple[KpiId, ...] = ()
    every: bool = False
    opens: BoardName | None = None
    described: bool = False

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return self.kpis or scene.chosen

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, kpis, dim = scene.words, self.shown(scene), self.dim
        asked = scene.question(kpis, shape="total", by=[dim], all_groups=self.every)
        name = f"{dim}_name"
        targets = [target(asked, [*text(dim, name), *numbers(*kpis)])]
        named_dim = {
            # A width, for a `minWidth` pushes the last column out.
            **column(words.dim(dim), 180),
            "mappings": worded(words, dim),
        }
        overrides = [override(dim, HIDDEN), *named(words, kpis, nothing="–")]
        if self.opens:
            url = scene.url(self.opens, {dim: f"${{__data.fields.{dim}:percentencode}}"})
            named_dim["links"] = [link(words["open"], url)]
        steps = [organized(name, *kpis, dim)]
        if self.described:
            described = Question(list="bots", is_ranged=False)
            targets.append(
                target(described, [Column("id", "string", dim), *text("description")], ref="B")
            )
            steps = [
                {"id": "merge", "options": {}},
                with_value(kpis[0]),
                organized(name, "description", *kpis, dim),
            ]
            overrides.append(override("description", column(words["description"], 290)))
        if not self.kpis:
            kept = f"^({dim}|{name}|{scene.metric.formatted('pipe')})$"
            steps.append({"id": "filterFieldsByName", "options": {"include": {"pattern": kept}}})
        first = words.title(kpis[0])
        return self.made(
            scene,
            "table",
            targets,
            title=words["per"].format(words.dim(dim).lower()),
            options=OPTIONS | {"sortBy": [{"displayName": first, "desc": True}]},
            overrides=[override(name, named_dim), *overrides],
            transformations=steps,
            links=links(scene, kpis, asked),
        )


def with_value(name: str) -> Json:
    """Return the transformation that leaves out rows without a value in a field."""
    missing = {"fieldName": name, "config": {"id": "isNull", "options": {}}}
    return {
        "id": "filterByValue",
        "options": {"type": "exclude", "match": "any", "filters": [missing]},
    }


@dataclass(frozen=True, kw_only=True)
class Conversations(Panel):
    """Conversations that stopped at a phase, newest first; each opens in its own application."""

    phase: Literal["not_joined", "not_engaged"]
    kpi: KpiId

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return (self.kpi,)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        asked = Question(list=f"after_sales_{self.phase}", filters=scene.filters(["channel"]))
        address = "${__data.fields.url:raw}"
        conversation = {
            **column(words["conversation"]),
            "links": [link(words["open_conversation"], address, new_tab=True)],
        }
        channel = {**column(words.dim("channel"), 100), "mappings": worded(words, "channel")}
        columns = [TIME, *text("conversation", "channel_name", "url")]
        behind = scene.behind(self.kpi, scene.question([self.kpi]))
        return self.made(
            scene,
            "table",
            [target(asked, columns)],
            about=words[f"{self.phase}_about"],
            title=words[self.phase],
            options=OPTIONS | {"enablePagination": True},
            overrides=[
                override("url", HIDDEN),
                override("time", column(words["invited_at"], 140, unit=MOMENT)),
                override("conversation", conversation),
                override("channel_name", channel),
            ],
            transformations=[organized("time", "conversation", "channel_name", "url")],
            links=[
                link(words["csv"].format(words[self.phase]), asked.export(), new_tab=True),
                link(words["behind"].format(words.title(self.kpi)), behind),
            ],
        )
