"""The kinds of panels, by the names that dashboards' files have for them."""

from datasource.grafana.panels.base import Panel
from datasource.grafana.panels.behind import Hits, Number, Selection
from datasource.grafana.panels.charts import (
    ChosenLines,
    Compared,
    Lines,
    LinesBy,
    MetricLine,
    Months,
    StackedMonths,
    Usual,
)
from datasource.grafana.panels.modules import ModuleDetails, Modules, ModuleTiles
from datasource.grafana.panels.nps import Answers, Scores
from datasource.grafana.panels.shares import Bars, Ring, SplitBars, SplitRing
from datasource.grafana.panels.tables import Conversations, Groups, Matrix, Others, Picker
from datasource.grafana.panels.texts import About, Directory, Freshness, Questions, Words
from datasource.grafana.panels.tiles import AsOf, Tile
from datasource.grafana.panels.tree import LocationTree, Tree

KINDS: dict[str, type[Panel]] = {
    "about": About,
    "answers": Answers,
    "as_of": AsOf,
    "bars": Bars,
    "chosen_lines": ChosenLines,
    "compared": Compared,
    "conversations": Conversations,
    "directory": Directory,
    "freshness": Freshness,
    "groups": Groups,
    "hits": Hits,
    "lines": Lines,
    "lines_by": LinesBy,
    "location_tree": LocationTree,
    "matrix": Matrix,
    "metric_line": MetricLine,
    "module_details": ModuleDetails,
    "module_tiles": ModuleTiles,
    "modules": Modules,
    "months": Months,
    "number": Number,
    "others": Others,
    "picker": Picker,
    "questions": Questions,
    "ring": Ring,
    "scores": Scores,
    "selection": Selection,
    "split_bars": SplitBars,
    "split_ring": SplitRing,
    "stacked_months": StackedMonths,
    "tile": Tile,
    "tree": Tree,
    "usual": Usual,
    "words": Words,
}
