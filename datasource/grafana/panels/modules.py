"""The modules of an experience in their order; what one of them counts, by its type."""

import json
from dataclasses import dataclass

from datasource.grafana.looks import bands, link, organized, override, palette
from datasource.grafana.panels.base import Panel, jq_words, links
from datasource.grafana.panels.tables import HIDDEN, OPTIONS, column
from datasource.grafana.panels.tiles import OPTIONS as TILE
from datasource.grafana.panels.tiles import tinted, unanswered
from datasource.grafana.question import (
    SOURCE,
    VALUE,
    Json,
    Question,
    Variable,
    numbers,
    target,
    text,
)
from datasource.grafana.scene import Scene
from datasource.grafana.words import BoardName, DimName, KpiId

SHOWN = Variable("shown", "doublequote")


@dataclass(frozen=True, kw_only=True)
class Modules(Panel):
    """The modules in order, arrows between them, coloured by their visits; a click opens one."""

    opens: BoardName

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return ("module_visits",)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        asked = Question(list="modules", filters=scene.filters(["experience", "module_type"]))
        arrows = 'map(. + {share: (.share * 100), arrow: "↓"})'
        columns = [
            *text("arrow", "name", "id", "experience_name"),
            *numbers("position", "visits", "share"),
        ]
        url = scene.url(self.opens, {"module": "${__data.fields.id:percentencode}"})
        gauge = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        share = {
            **column(words["share"]),
            "custom": {"cellOptions": gauge},
            "unit": "percent",
            "decimals": 0,
            "min": 0,
            "max": 100,
            **bands(palette().bands["share"]),
        }
        name = column(words.dim("module"), 260, links=[link(words["open"], url)])
        kpi_question = scene.question(["module_visits"])
        return self.made(
            scene,
            "table",
            [target(asked, columns, jq=arrows)],
            title=words["modules"],
            about=f"{words.about('module_visits')}\n\n{words['modules_about']}",
            options=OPTIONS,
            overrides=[
                override("id", HIDDEN),
                override("arrow", {"displayName": " ", "custom": {"width": 50, "align": "center"}}),
                override("position", column(words["position"], 80)),
                override("name", name),
                override("experience_name", column(words.dim("experience"), 180)),
                override("visits", column(words["visits"], 110)),
                override("share", share),
            ],
            transformations=[
                organized("arrow", "position", "name", "experience_name", "visits", "share", "id")
            ],
            links=[
                link(words["csv"].format(words["modules"]), asked.export(), new_tab=True),
                *links(scene, ["module_visits"], kpi_question),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class ModuleTiles(Panel):
    """A tile for each KPI that a module of the chosen one's type has.

    `every`: what every module has; `types`: what those of a type have besides.
    """

    every: tuple[KpiId, ...]
    types: dict[str, tuple[KpiId, ...]]

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return tuple(dict.fromkeys([*self.every, *(k for of in self.types.values() for k in of)]))

    def variables(self, scene: Scene) -> list[Json]:
        """Return the hidden variable that names the KPIs of the chosen module's type."""
        titles = {kpi: scene.words.title(kpi) for kpi in self.shown(scene)}
        chosen = (
            f"{json.dumps(titles, ensure_ascii=False)} as $titles "
            '| ([.[] | select(.id == ${module:doublequote})][0].module_type // "") as $type '
            f"| {json.dumps(list(self.every))} + ({json.dumps(self.types)}[$type] // []) "
            "| map({__value: ., __text: $titles[.]})"
        )
        asked = Question(list="modules", is_ranged=True)
        found = target(asked, text("__text", "__value"), jq=chosen)
        return [
            {
                "type": "query",
                "name": "shown",
                "hide": 2,
                "multi": True,
                "includeAll": True,
                "current": {"text": ["All"], "value": ["$__all"]},
                "refresh": 2,
                "datasource": SOURCE,
                "query": {"queryType": "infinity", "refId": "variable", "infinityQuery": found},
            }
        ]

    def build(self, scene: Scene) -> Json:  # noqa: D102
        filters = scene.filters(scene.shared_dims(self.shown(scene)))
        asked = Question(kpis=[SHOWN], shape="total", filters=filters)
        return self.made(
            scene,
            "stat",
            [target(asked, [VALUE])],
            title="${shown:text}",
            options=TILE,
            fields=unanswered(scene),
            overrides=[tinted(scene, palette().tints["other"])],
            links=links(scene, [SHOWN], asked),
        ) | {"repeat": "shown", "repeatDirection": "h", "maxPerRow": 4}


@dataclass(frozen=True, kw_only=True)
class Detail:
    """A KPI taken apart by dimensions."""

    kpi: KpiId
    by: tuple[DimName, ...]


@dataclass(frozen=True, kw_only=True)
class ModuleDetails(Panel):
    """KPIs taken apart by their dimensions, in one table: it lists what the module had."""

    details: tuple[Detail, ...]

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return tuple(one.kpi for one in self.details)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, targets, found = scene.words, [], []
        for one in self.details:
            asked = scene.question([one.kpi], shape="total", by=one.by)
            worded = [jq_words(words, dim, f"{dim}_name") or "." for dim in one.by]
            which = ' + " · " + '.join(f".{dim}_name" for dim in one.by)
            rows = f"map({{what: {json.dumps(words.title(one.kpi), ensure_ascii=False)}, "
            jq = " | ".join([*worded, rows + f"which: ({which}), value}})"])
            columns = [*text("what", "which"), VALUE]
            targets.append(target(asked, columns, ref=one.kpi, jq=jq))
            found += links(scene, [one.kpi], asked)
        return self.made(
            scene,
            "table",
            targets,
            title=words["module_details"],
            fields={"noValue": words["no_details"]},
            options=OPTIONS | {"sortBy": [{"displayName": words["what"], "desc": False}]},
            overrides=[
                override("what", column(words["what"], 260)),
                override("which", column(words["which"])),
                override("value", column(words["number"], 120)),
            ],
            transformations=[{"id": "merge", "options": {}}, organized("what", "which", "value")],
            links=found,
        )
