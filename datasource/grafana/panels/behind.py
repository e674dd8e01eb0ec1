"""Behind a number: what a KPI counted, in the range and filters that a link brought."""

import json
from dataclasses import dataclass
from typing import Any

from datasource.catalog import DIMS
from datasource.grafana.looks import (
    MOMENT,
    WRAPPED,
    fixed,
    link,
    organized,
    override,
    palette,
    worded,
)
from datasource.grafana.panels.base import Panel, links
from datasource.grafana.panels.tables import OPTIONS, column
from datasource.grafana.question import (
    ALL,
    TIME,
    Json,
    Question,
    Variable,
    inline,
    numbers,
    target,
    text,
)
from datasource.grafana.scene import Scene

PAGE, PAGES = 1000, 100
# Leaves out what narrows nothing.
NARROWED = f'map(select(.values != {ALL}) | {{dim, value: (.values | join(", "))}})'
RANGE = "${__from:date:YYYY-MM-DD HH:mm} – ${__to:date:YYYY-MM-DD HH:mm}"


@dataclass(frozen=True, kw_only=True)
class Number(Panel):
    """The picked KPI's total in the selection that a link brought."""

    def build(self, scene: Scene) -> Json:  # noqa: D102
        asked = behind_question(scene, shape="total")
        return self.made(
            scene,
            "stat",
            [target(asked, numbers("value"))],
            about=scene.words["number_about"],
            title=scene.metric.formatted("text"),
            options={
                "colorMode": "none",
                "graphMode": "none",
                "justifyMode": "center",
                "textMode": "value",
                "text": {"valueSize": 32},
                "reduceOptions": {"calcs": ["last"], "fields": "", "values": False},
            },
            fields={"unit": "locale", **fixed(palette().roles["metric"])},
            links=links(scene, [scene.metric], asked),
        )


@dataclass(frozen=True, kw_only=True)
class Hits(Panel):
    """The events, sessions or conversations that the picked KPI counted, a thousand a page."""

    def variables(self, scene: Scene) -> list[Json]:
        """Return the variable of the page: how many rows come before it."""
        pages = ", ".join(f"{page + 1} : {page * PAGE}" for page in range(PAGES))
        current = {"text": "1", "value": "0"}
        label = scene.words["page"]
        return [
            {"type": "custom", "name": "page", "label": label, "query": pages}
            | {"current": current}
        ]

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        asked = behind_question(scene, list="hits", more={"offset": Variable("page")})
        dims = [
            {"id": dim, "title": words.dim(dim), "words": words.values(dim)}
            for dim in DIMS
            if dim != "tenant"
        ]
        details = (
            f"{json.dumps(dims, ensure_ascii=False)} as $dims | map(. as $row | . + "
            '{details: ([$dims[] | ($row[.id + "_name"] // $row[.id]) as $value '
            '| select($value != null) | .title + ": " + (.words[$value | tostring] // $value '
            '| tostring)] | join(" · "))})'
        )
        columns = [TIME, *text("kind", "id", "contact", "conversation"), *numbers("amount")]
        return self.made(
            scene,
            "table",
            [target(asked, [*columns, *text("details")], jq=details)],
            about=words["hits_about"],
            options=OPTIONS | {"enablePagination": True},
            overrides=[
                override("time", column(words["time"], 140, unit=MOMENT)),
                override("kind", column(words["kind"], 120, mappings=worded(words, "kind"))),
                override("id", column(words["id"], 120)),
                override("contact", column(words["contact"], 110)),
                override("conversation", column(words["conversation"], 120)),
                override("amount", column(words["amount"], 80, unit="locale")),
                override("details", column(words["details"], custom=WRAPPED)),
            ],
            transformations=[
                organized("time", "kind", "amount", "details", "id", "contact", "conversation")
            ],
            links=[
                link(
                    words["csv"].format(scene.metric.formatted("text")),
                    asked.export(),
                    new_tab=True,
                )
            ],
        )


def behind_question(scene: Scene, **more: Any) -> Question:
    """Return a question on the picked KPI, narrowed by whatever a link brought.

    A dimension that the KPI does not have is not narrowed there: its variable holds a `*`.
    """
    return Question(kpis=[scene.metric], filters=scene.filters(list(DIMS)), **more)


@dataclass(frozen=True, kw_only=True)
class Selection(Panel):
    """The filters that hold, in words."""

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        rows: list[Json] = [{"dim": words["range"], "values": [RANGE]}]
        rows += [
            {"dim": words.dim(dim), "values": value}
            for dim, value in scene.filters(list(DIMS)).items()
            if dim != "tenant"
        ]
        return self.made(
            scene,
            "table",
            [inline(rows, text("dim", "value"), "A", jq=NARROWED)],
            about=words["selection_about"],
            options=OPTIONS | {"showHeader": False},
            overrides=[override("dim", column(words["dimension"], 140))],
            transformations=[organized("dim", "value")],
        )
