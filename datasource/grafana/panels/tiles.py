"""Tiles: one number, large, on a tint; and how new the data are."""

from dataclasses import dataclass

from datasource.grafana.looks import (
    MOMENT,
    Bands,
    added,
    bands,
    organized,
    override,
    palette,
    tint,
)
from datasource.grafana.panels.base import Panel, links
from datasource.grafana.question import VALUE, Column, Json, Question, numbers, target
from datasource.grafana.scene import Scene
from datasource.grafana.words import KpiId

OPTIONS: Json = {
    "colorMode": "background_solid",
    "graphMode": "none",
    "justifyMode": "center",
    "textMode": "value",
    "wideLayout": True,
    # Else numbers of tiles side by side differ in size.
    "text": {"valueSize": 40, "percentSize": 15},
    "percentChangeColorMode": "same_as_value",
    # `last`, not the last that is there: in a tile with a comparison that is the previous one.
    "reduceOptions": {"calcs": ["last"], "fields": "", "values": False},
}
# A row of `previous` and `value` becomes a column of both, whose change Grafana shows. Nothing
# before, or 0, is made infinite: its change is no number and is not shown, where else it would
# read "0%" or "∞%".
CHANGE = [
    added("tiny", 1e-300, "/", "previous"),
    added("before", "previous", "+", "tiny"),
    organized("before", "value", hidden=["previous", "tiny"]),
    {"id": "transpose", "options": {"firstFieldName": "period", "restFieldsName": "number"}},
]
# The difference itself, for a score has no meaningful percentage.
DIFFERENCE = [
    added("difference", "value", "-", "previous"),
    organized("value", "difference", hidden=["previous"]),
]


def tinted(scene: Scene, tints: Bands) -> Json:
    """Return the fields' properties that put numbers on tints, and say when there is none."""
    nothing = {"text": scene.words["none"], "color": tint(palette().tints["other"]["base"])}
    special = {"type": "special", "options": {"match": "null", "result": nothing}}
    return {
        **bands({start: tint(colour) for start, colour in tints.items()}),
        "mappings": [special],
    }


@dataclass(frozen=True, kw_only=True)
class Tile(Panel):
    """A KPI's total over the range, with its change from the period before."""

    kpi: KpiId

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return (self.kpi,)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        asked = scene.question([self.kpi], shape="total", compare="previous")
        is_score = words.catalog.kpis[self.kpi].counting == "score"
        overrides = []
        options = OPTIONS | {"showPercentChange": not is_score}
        if is_score:
            options |= {"textMode": "value_and_name", "text": {"valueSize": 30, "titleSize": 12}}
            overrides = [
                override("value", {"displayName": words.title(self.kpi)}),
                override("difference", {"displayName": words["difference"], **signed()}),
            ]
        return self.made(
            scene,
            "stat",
            [target(asked, [VALUE, Column("previous")])],
            about=f"{words.about(self.kpi)}\n\n{words['compared']}",
            options=options,
            fields=tinted(scene, palette().tint(self.kpi)),
            overrides=overrides,
            transformations=DIFFERENCE if is_score else CHANGE,
            links=links(scene, [self.kpi], asked),
        )


def signed() -> Json:
    """Return the look of a difference: no tint of its own."""
    return bands({"base": tint(palette().tints["other"]["base"])})


@dataclass(frozen=True, kw_only=True)
class AsOf(Panel):
    """The newest event in the numbers, and in words how far they are behind what was loaded."""

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        whole = Question(list="range", is_ranged=False)
        waiting = Question(list="freshness", is_ranged=False, filters={})
        minutes = "[{minutes: (([.[].behind // 0] | max // 0) / 60)}]"
        up_to_date = {"from": 0, "to": 1, "result": {"text": words["up_to_date"]}}
        return self.made(
            scene,
            "stat",
            [
                target(whole, numbers("last")),
                target(waiting, numbers("minutes"), ref="B", jq=minutes),
            ],
            about=words["as_of_about"],
            options=OPTIONS
            | {
                "colorMode": "value",
                "textMode": "value_and_name",
                "text": {"valueSize": 13, "titleSize": 13},
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            },
            overrides=[
                override(
                    "last",
                    {"displayName": words["as_of"], "unit": MOMENT, **bands({"base": "text"})},
                ),
                override(
                    "minutes",
                    {
                        "displayName": " ",
                        "unit": f"suffix: {words['minutes_behind']}",
                        "decimals": 0,
                        "mappings": [{"type": "range", "options": up_to_date}],
                        **bands(palette().bands["minutes_behind"]),
                    },
                ),
            ],
        ) | {"transparent": True}
