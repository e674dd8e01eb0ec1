"""Tables: metrics to pick from, weekdays and hours, groups with several KPIs, conversations."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from datasource.grafana.looks import (
    COUNT,
    MOMENT,
    WRAPPED,
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
USUAL_WIDTH = 100  # pixels of a column that is not fixed, in the narrowest table with several
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def column(title: str, width: int = 0, **more: Any) -> Json:
    """Return the properties of a column; `width` in pixels."""
    custom = more.pop("custom", {}) | ({"width": width} if width else {})
    return {"displayName": title, "custom": custom, **more}


@dataclass(frozen=True, kw_only=True)
class Picker(Panel):
    """The metrics to pick from, with totals and definitions; those that are picked are marked.

    A click picks another one; where several can be picked, it adds one or takes it away.
    """

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return scene.chosen

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, kpis = scene.words, scene.chosen
        asked = scene.question(kpis, shape="total")
        metrics = [
            {"kpi": kpi, "title": words.title(kpi), "about": words.about(kpi)} for kpi in kpis
        ]
        variable = scene.metric.name
        several = bool(scene.board.choice and scene.board.choice.several)
        toggled = "(if .on then $picked - [.kpi] else $picked + [.kpi] end)"
        after = f"{toggled} | if . == [] then $picked else . end" if several else "[.kpi]"
        marked = (
            f".[0] as $answer | {picked_list(scene)} as $picked "
            f"| {json.dumps(metrics, ensure_ascii=False)} "
            "| map(. + {value: $answer[.kpi]}) "
            "| map(. + {on: (.kpi as $one | $picked | index([$one]) != null)}) "
            f'| map(. + {{picks: ({after} | join("&var-{variable}=")), '
            'title: ((if .on then "●" else "○" end) + "  " + .title)})'
        )
        pick = scene.url(scene.name, {variable: "${__data.fields.picks:raw}"})
        title = {
            "custom": WRAPPED
            | {"tooltip": {"field": "about", "placement": "right"}, "minWidth": 120},
            "links": [link(words["pick"], pick)],
        }
        return self.made(
            scene,
            "table",
            [target(asked, [*text("picks", "title", "about"), *numbers("value")], jq=marked)],
            title=words["metrics"],
            options=OPTIONS | {"showHeader": False},
            overrides=[
                override("picks", HIDDEN),
                override("about", HIDDEN),
                override("title", title),
                override("value", {"custom": {"width": 65, "align": "right"}}),
            ],
            transformations=[organized("title", "value", "picks", "about")],
            links=links(scene, kpis, asked),
        )


def picked_list(scene: Scene) -> str:
    """Return the picked metrics as a JSON list."""
    if scene.board.choice and scene.board.choice.several:
        return scene.metric.formatted("json")
    return f"[{scene.metric}]"


def others(scene: Scene) -> tuple[str, ...]:
    """Return the KPIs of the dashboard's family that no panel of another kind shows."""
    rows = scene.board.rows
    panels = [one for row in rows for one in row.panels if not isinstance(one, Others)]
    known: set[str] = {kpi for row in rows for kpi in row.tiles}
    known |= {kpi for panel in panels for kpi in panel.shown(scene)}
    return tuple(
        kpi_id
        for kpi_id, kpi in scene.words.catalog.kpis.items()
        if kpi.family == scene.board.family and kpi_id not in known
    )


@dataclass(frozen=True, kw_only=True)
class Others(Panel):
    """The KPIs of the dashboard's family that no other panel shows, as far as they have data."""

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return others(scene)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, kpis = scene.words, self.shown(scene)
        asked = scene.question(kpis, shape="total")
        for kpi in kpis:
            if missing := scene.filters(words.catalog.kpis[kpi].dims).keys() - asked.filters.keys():
                raise ValueError(f"{kpi} would not be narrowed by {', '.join(missing)}")
        # A blank that is not empty: an empty cell would show the words for no data.
        units = {"minutes": "min", "percent": "%"}
        known = [
            {
                "kpi": kpi,
                "name": words.title(kpi),
                "about": words.about(kpi),
                "unit": units.get(words.catalog.kpis[kpi].unit, "\u00a0"),
            }
            for kpi in kpis
        ]
        rows = (
            f".[0] as $answer | {json.dumps(known, ensure_ascii=False)} "
            "| map(. + {value: $answer[.kpi]}) | map(select(.value != null and .value != 0))"
        )
        behind = scene.behind("${__data.fields.kpi}", asked)
        name = {
            **column(words["kpi"]),
            "custom": {"tooltip": {"field": "about", "placement": "right"}},
            "links": [link(words["behind"].format("${__data.fields.name}"), behind)],
        }
        return self.made(
            scene,
            "table",
            [target(asked, [*text("kpi", "name", "about", "unit"), *numbers("value")], jq=rows)],
            options=OPTIONS,
            fields={"unit": COUNT[0], "decimals": None},
            overrides=[
                override("kpi", HIDDEN),
                override("about", HIDDEN),
                override("name", name),
                override("value", column(words["number"], 110)),
                override("unit", {"displayName": " ", "unit": "string", "custom": {"width": 50}}),
            ],
            transformations=[organized("name", "value", "unit", "kpi", "about")],
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
            about=f"{words['matrix_about']}\n\n{words.about(*self.shown(scene))}",
            title=words["matrix"].format(scene.metric.formatted("text")),
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
    `sorted_by`: the KPI whose largest comes first, when it is not the first one.
    """

    dim: DimName
    kpis: tuple[KpiId, ...] = ()
    every: bool = False
    opens: BoardName | None = None
    described: bool = False
    sorted_by: KpiId | None = None

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
        for kpi in kpis:
            width = width_of(words.title(kpi))
            # The columns that are chosen, and the first one, fill what the others leave.
            is_fixed = bool(self.kpis) and kpi != kpis[0] and width > USUAL_WIDTH
            overrides.append(
                override(kpi, {"custom": {"width" if is_fixed else "minWidth": width}})
            )
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
        first = words.title(self.sorted_by or kpis[0])
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


def width_of(title: str) -> int:
    """Return the pixels that a column has at least: its title's longest word is not cut."""
    return max(80, 24 + 8 * max(map(len, title.split())))


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
