"""Tables of locations that open step by step, down to departments, users and channels."""

import json
from dataclasses import dataclass, replace

from datasource.grafana.looks import link, named, organized, override, sorted_by
from datasource.grafana.panels.base import Panel, links, picked
from datasource.grafana.panels.tables import HIDDEN, OPTIONS, column
from datasource.grafana.question import Column, Json, Question, Variable, numbers, target, text
from datasource.grafana.scene import Scene

STEPS = ("location", "department", "user", "channel")
# What rows of several answers about one place have in common: by these they are merged.
PLACE = ("order", "sign", "title", "toggled")
# Functions of the jq programs below. `$open` are the open paths; a path is the ids from the
# location down. `order` sorts a place right behind its parent: two blanks sort before any letter.
# None of the names after a $ is a dashboard's variable, which Grafana would put in.
FUNCTIONS = """
def is_open($path): ($open | index([$path])) != null;
def sign($path; $deepest):
  if ($path | length) == $deepest then "·" elif is_open($path) then "−" else "+" end;
def toggled($path):
  (if is_open($path) then $open - [$path] else $open + [$path] end) | tojson;
def titled($path; $name): ("\\u2003" * (2 * (($path | length) - 1)) // "") + $name;
def worded: $words[.] // .;
def place($path; $order; $name; $deepest):
  {order: $order, sign: sign($path; $deepest)}
  + {title: titled($path; $name), toggled: toggled($path)};
"""


@dataclass(frozen=True, kw_only=True)
class Tree(Panel):
    """The choice's KPIs by location, then by what lies beneath those that are opened by a +."""

    def shown(self, scene: Scene) -> tuple[str, ...]:  # noqa: D102
        return scene.chosen

    @property
    def variable(self) -> str:
        """The name of the variable that holds the paths which are open."""
        return f"open_{self.key}"

    def variables(self, scene: Scene) -> list[Json]:
        """Return the hidden variable of the open paths, a JSON list."""
        hidden = {"type": "textbox", "name": self.variable, "hide": 2, "query": "[]"}
        return [hidden | {"current": {"text": "[]", "value": "[]"}}]

    def program(self, scene: Scene, rows: str) -> str:
        """Return a jq program that has the functions above, the open paths and the words."""
        words = {value: word for dim in STEPS for value, word in scene.words.values(dim).items()}
        head = f"${{{self.variable}}} as $open | {json.dumps(words, ensure_ascii=False)} as $words"
        return f"{head} | {FUNCTIONS.strip()}\n{rows}"

    def targets(self, scene: Scene) -> list[Json]:
        """Return a question for each KPI: the list of the places that are open or lie on top."""
        found = []
        for kpi in scene.chosen:
            asked = Question(
                kpis=[kpi],
                list="after_sales_tree",
                filters=scene.filters(["location", "department"]),
                more={"expanded": Variable(self.variable)},
            )
            rows = f"""
reduce .[] as $row ({{orders: {{}}, rows: []}};
  ($row.path | fromjson) as $path | ($row.name | worded) as $name
  | ((.orders[$path[:-1] | tojson] // "") + "  " + $name) as $order
  | .orders[$path | tojson] = $order
  | .rows += [place($path; $order; $name; {len(STEPS)}) + {{value: $row.value}}])
| .rows"""
            columns = [*text(*PLACE), Column("value", text=kpi)]
            found.append(target(asked, columns, ref=kpi, jq=self.program(scene, rows)))
        return found

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, kpis = scene.words, scene.chosen
        toggled = "${__data.fields.toggled:percentencode}"
        toggle = scene.url(scene.name, {self.variable: toggled})
        sign = {
            "displayName": " ",
            "custom": {"width": 50, "align": "center"},
            "links": [link(words["toggle"], toggle)],
        }
        return self.made(
            scene,
            "table",
            self.targets(scene),
            options=OPTIONS,
            overrides=[
                override("toggled", HIDDEN),
                override("order", HIDDEN),
                override("sign", sign),
                override("title", column(words["place"], 230)),
                *named(words, kpis, nothing="0"),
            ],
            transformations=[
                {"id": "merge", "options": {}},
                sorted_by("order"),
                organized("sign", "title", *kpis, "toggled", "order"),
                picked(scene, PLACE),
            ],
            links=links(scene, kpis, scene.question(kpis, shape="total", by=["location"])),
        )


@dataclass(frozen=True, kw_only=True)
class LocationTree(Tree):
    """The choice's KPIs by location, opened to departments; all active ones, also with nothing."""

    def targets(self, scene: Scene) -> list[Json]:
        """Return the questions: locations, departments that have something, all departments."""
        kpis = scene.chosen
        locations = scene.question(kpis, shape="total", by=["location"], all_groups=True)
        departments = replace(locations, by=["location", "department"], all_groups=False)
        every = Question(list="departments", filters=scene.filters(["location"]), is_ranged=False)
        values = ", ".join(kpis)
        top = f"""
map((.location_name | worded) as $name
  | place([.location]; "  " + $name; $name; 2) + {{{values}}})"""
        beneath = """
map(select(is_open([.location]))
  | (.location_name | worded) as $above | (.{} | worded) as $name
  | place([.location, .{}]; "  " + $above + "  " + $name; $name; 2){})"""
        columns = [*text(*PLACE), *numbers(*kpis)]
        having = beneath.format("department_name", "department", f" + {{{values}}}")
        active = "\nmap(select(.active != false)) |" + beneath.format("name", "id", "")
        return [
            target(locations, columns, ref="A", jq=self.program(scene, top)),
            target(departments, columns, ref="B", jq=self.program(scene, having)),
            target(every, text(*PLACE), ref="C", jq=self.program(scene, active)),
        ]
