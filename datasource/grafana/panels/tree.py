"""Locations that open step by step, down to departments, users and channels."""

from dataclasses import dataclass
from typing import Literal

from datasource.grafana.looks import link, named, organized, override, worded
from datasource.grafana.panels.base import Panel, links
from datasource.grafana.panels.tables import HIDDEN, OPTIONS, column
from datasource.grafana.question import Json, Question, Variable, numbers, target, text
from datasource.grafana.scene import Scene

LEVELS = {"after_sales_tree": 4, "after_sales_locations": 2}


@dataclass(frozen=True, kw_only=True)
class Tree(Panel):
    """The choice's KPIs by location, then by what lies beneath those that are opened by a +."""

    rows: Literal["after_sales_tree", "after_sales_locations"]

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return scene.chosen

    @property
    def variable(self) -> str:
        """The name of the variable that holds the paths which are open."""
        return self.rows.replace("after_sales", "open")

    def variables(self, scene: Scene) -> list[Json]:
        """Return the hidden variable of the open paths, a JSON list."""
        hidden = {"type": "textbox", "name": self.variable, "hide": 2, "query": "[]"}
        return [hidden | {"current": {"text": "[]", "value": "[]"}}]

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, kpis = scene.words, scene.chosen
        asked = Question(
            kpis=kpis,
            list=self.rows,
            filters=scene.filters(["location", "department"]),
            more={"expanded": Variable(self.variable)},
        )
        last = LEVELS[self.rows]
        signs = (
            f"${{{self.variable}}} as $open | map((.path | fromjson) as $path "
            "| (($open | index([$path])) != null) as $is_open "
            f'| . + {{sign: (if .level == {last} then "" elif $is_open then "−" else "+" end), '
            'label: (("\\u2003\\u2003" * (.level - 1) // "") + .name), '
            "toggled: ((if $is_open then $open - [$path] else $open + [$path] end) | tojson)})"
        )
        columns = [*text("sign", "label", "toggled"), *numbers(*kpis)]
        toggled = "${__data.fields.toggled:percentencode}"
        toggle = scene.url(scene.name, {self.variable: toggled})
        kept = "^(sign|label|toggled|${metrics:pipe})$"
        return self.made(
            scene,
            "table",
            [target(asked, columns, jq=signs)],
            options=OPTIONS,
            overrides=[
                override("toggled", HIDDEN),
                override(
                    "sign",
                    {
                        "displayName": " ",
                        "custom": {"width": 50, "align": "center"},
                        "links": [link(words["toggle"], toggle)],
                    },
                ),
                override(
                    "label", {**column(words["place"]), "mappings": worded(words, "location")}
                ),
                *named(words, kpis),
            ],
            transformations=[
                organized("sign", "label", *kpis, "toggled"),
                {"id": "filterFieldsByName", "options": {"include": {"pattern": kept}}},
            ],
            links=links(scene, kpis, scene.question(kpis, shape="total", by=["location"])),
        )
