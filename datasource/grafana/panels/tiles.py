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
from datasource.grafana.panels.base import Panel, links, panel_number
from datasource.grafana.question import (
    BEFORE,
    DIFFERENCE,
    Json,
    Question,
    answer_of,
    numbers,
    target,
    totals_target,
)
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


def unanswered(scene: Scene) -> Json:
    """Return the fields' properties that Grafana shows without an answer.

    They do not claim that there is no number, and have no colour that means one.
    """
    return {**plain_tint(), "noValue": scene.words["unknown"]}


def tinted(scene: Scene, tints: Bands) -> Json:
    """Return the override that puts an answer's numbers on tints, and says when it has none."""
    nothing = {"text": scene.words["none"], "color": meaningless()}
    special = {"type": "special", "options": {"match": "null", "result": nothing}}
    colours = bands({start: tint(colour) for start, colour in tints.items()})
    return override(".*", {"mappings": [special], **colours}, by="byRegexp")


def plain_tint() -> Json:
    """Return the colouring that means nothing."""
    return bands({"base": meaningless()})


def meaningless() -> str:
    """Return the tint that means nothing."""
    return tint(palette().tints["other"]["base"])


@dataclass(frozen=True, kw_only=True)
class Tile(Panel):
    """A KPI's total over the range, with its change from the period before.

    The first tile of a dashboard asks for all that it shows at first; the others show its answer.
    """

    kpi: KpiId

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return (self.kpi,)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        is_score = words.catalog.kpis[self.kpi].counting == "score"
        overrides = [tinted(scene, palette().tint(self.kpi))]
        options = OPTIONS | {"showPercentChange": not is_score}
        changed = [*columns_of({self.kpi: "value", self.kpi + BEFORE: "previous"}), *CHANGE]
        if is_score:  # it has no meaningful percentage
            changed = columns_of({self.kpi: "value", self.kpi + DIFFERENCE: "difference"})
            options |= {"textMode": "value_and_name", "text": {"valueSize": 30, "titleSize": 12}}
            overrides += [
                override("value", {"displayName": words.title(self.kpi)}),
                override("difference", {"displayName": words["difference"], **plain_tint()}),
            ]
        asked = self.target(scene)
        made = self.made(
            scene,
            "stat",
            [asked],
            note="compared",
            options=options,
            fields=unanswered(scene),
            overrides=overrides,
            transformations=changed,
            links=links(scene, [self.kpi], self.question(scene)),
        )
        return made | {"datasource": asked["datasource"]}

    def question(self, scene: Scene) -> Question:
        """Return the question that the tile answers."""
        return compared_total(scene, self.kpi)

    def target(self, scene: Scene) -> Json:
        """Return where the number comes from: a question of the tile's own, or a tile that asks."""
        together = tiles_at_first(scene)
        if self.key not in together:  # it stands in a row that is closed at first
            return totals_target({self.kpi: self.question(scene)})
        first = next(iter(together))
        if self.key != first:
            return answer_of(panel_number(first))
        return totals_target({kpi: compared_total(scene, kpi) for kpi in together.values()})


def tiles_at_first(scene: Scene) -> dict[str, KpiId]:
    """Return the KPIs of the tiles that a dashboard shows when it opens, by the tiles' keys."""
    found: dict[str, KpiId] = {}
    for row in scene.board.rows:
        if not row.closed:
            found |= {kpi: kpi for kpi in row.tiles}
            found |= {panel.key: panel.kpi for panel in row.panels if isinstance(panel, Tile)}
    return found


def compared_total(scene: Scene, kpi: str) -> Question:
    """Return the question on a KPI's total and the one before it."""
    return scene.question([kpi], shape="total", compare="previous")


def columns_of(titles: dict[str, str]) -> list[Json]:
    """Return the transformations that leave some columns of those asked, under other names."""
    return [
        {"id": "filterFieldsByName", "options": {"include": {"names": [*titles]}}},
        organized(*titles, titles=titles),
    ]


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
            fields={"noValue": words["no_answer"], **bands(palette().bands["no_answer"])},
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
                    {
                        "displayName": words["as_of"],
                        "unit": MOMENT,
                        "mappings": [
                            {
                                "type": "special",
                                "options": {
                                    "match": "null",
                                    "result": {"text": words["no_events"]},
                                },
                            }
                        ],
                        **bands({"base": "text"}),
                    },
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
