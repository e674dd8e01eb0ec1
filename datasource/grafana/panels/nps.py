"""The NPS: how often each score was given, and what contacts wrote."""

from dataclasses import dataclass

from datasource.grafana.looks import (
    DATE,
    WRAPPED,
    bands,
    link,
    organized,
    override,
    palette,
    sorted_by,
)
from datasource.grafana.panels.base import Panel, links
from datasource.grafana.question import (
    TIME,
    VALUE,
    Column,
    Json,
    Question,
    inline,
    numbers,
    target,
    text,
)
from datasource.grafana.scene import Scene

SEGMENTS = {"detractors": range(0, 7), "passives": range(7, 9), "promoters": range(9, 11)}
OPTIONS: Json = {
    "orientation": "vertical",
    "showValue": "always",
    "text": {"valueSize": 12},
    "xField": "score",
    "colorByField": "segment (max)",
    "barWidth": 0.8,
    "fullHighlight": False,
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
    "tooltip": {"mode": "single", "sort": "none"},
}
# With a second frame's zeros all scores from 0 to 10, in their order.
ALL_SCORES = [
    {"id": "merge", "options": {}},
    {
        "id": "groupBy",
        "options": {
            "fields": {
                "score": {"operation": "groupby", "aggregations": []},
                "value": {"operation": "aggregate", "aggregations": ["sum"]},
                "segment": {"operation": "aggregate", "aggregations": ["max"]},
            }
        },
    },
    sorted_by("score"),
    {
        "id": "convertFieldType",
        "options": {"conversions": [{"targetField": "score", "destinationType": "string"}]},
    },
]


@dataclass(frozen=True, kw_only=True)
class Scores(Panel):
    """How often each score was given, in its segment's colour; scores that nobody gave too."""

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return ("nps_scores",)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        asked = scene.question(["nps_scores"], shape="total", by=["score"])
        zeros = [
            {"score": score, "segment": number, "value": 0}
            for number, scores in enumerate(SEGMENTS.values())
            for score in scores
        ]
        unseen = dict.fromkeys(("viz", "legend", "tooltip"), True)
        segment = {"custom": {"hideFrom": unseen}, **bands(palette().bands["segment"])}
        return self.made(
            scene,
            "barchart",
            [
                target(asked, [Column("score"), VALUE]),
                inline(zeros, numbers("score", "segment", "value"), "zeros"),
            ],
            options=OPTIONS,
            fields={"custom": {"fillOpacity": 85, "lineWidth": 0, "axisSoftMin": 0}},
            overrides=[
                override("value (sum)", {"displayName": scene.words.title("nps_answers")}),
                override("segment (max)", segment),
            ],
            transformations=ALL_SCORES,
            links=links(scene, ["nps_scores"], asked),
        )


@dataclass(frozen=True, kw_only=True)
class Answers(Panel):
    """The answers with a text, newest first; each segment's can be downloaded."""

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return ("nps_answers",)

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        filters = scene.filters(["experience", "folder"])
        asked = Question(list="nps_answers", filters=filters)
        segments = {name: words.title(f"nps_{name}") for name in SEGMENTS}
        downloads = [
            link(words["csv"].format(title), asked.export(more={"segment": name}), new_tab=True)
            for name, title in segments.items()
        ]
        behind = scene.behind("nps_answers", scene.question(["nps_answers"]))
        score = {
            "displayName": words.dim("score"),
            "custom": {
                "width": 65,
                "align": "center",
                "cellOptions": {"type": "color-background", "mode": "basic"},
            },
            **bands(palette().bands["score"]),
        }
        return self.made(
            scene,
            "table",
            [target(asked, [TIME, Column("score"), *text("text")])],
            options={"showHeader": True, "cellHeight": "sm", "enablePagination": True},
            overrides=[
                override(
                    "time",
                    {"displayName": words["time"], "unit": DATE, "custom": {"width": 95}},
                ),
                override("score", score),
                override(
                    "text",
                    {
                        "displayName": words["answer"],
                        "custom": WRAPPED,
                    },
                ),
            ],
            transformations=[organized("time", "score", "text")],
            links=[*downloads, link(words["behind"].format(words.title("nps_answers")), behind)],
        )
