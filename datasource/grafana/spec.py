"""What a dashboard's file says: frozen dataclasses, read from `dashboards/<name>.toml`.

The kinds of panels are in `panels/`, a class each.
"""

from dataclasses import dataclass, field
from typing import Literal

from datasource.grafana.panels.base import Panel
from datasource.grafana.words import DimName, KpiId, RangeName, Text, Word

Lists = Literal["experiences", "modules", "bots", "channels", "users", "locations", "departments"]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A variable that narrows a dimension; it has the dimension's name and title.

    `one`: one value and never all. `first`: several values, at first the first of them. `list`:
    its values are the things of this list, which need not occur in an event. `within`: the
    filters of the dashboard that narrow its values. `hidden`: it has no picker and no values of
    its own but those that a link brings.
    """

    dim: DimName
    one: bool = False
    first: bool = False
    list: Lists | None = None
    within: tuple[DimName, ...] = ()
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Choice:
    """KPIs that the viewer picks: one, or `several`.

    `variable`: its name. Links take variables along, so dashboards that share a name share the
    KPIs. `kpis`, or all there are when it is `every` one. `first`: those that are picked at
    first. Where the dashboard has a list of the kind `picker`, its variable has no picker of its
    own.
    """

    variable: str
    first: tuple[KpiId, ...]
    kpis: tuple[KpiId, ...] = ()
    every: bool = False
    several: bool = False

    def __post_init__(self) -> None:
        if self.every == bool(self.kpis):
            raise ValueError("a choice has either `kpis` or is `every` one")
        if not self.first or not (self.every or set(self.first) <= set(self.kpis)):
            raise ValueError("`first` names some of `kpis`")
        if not self.several and len(self.first) > 1:
            raise ValueError("`first` is one, for one can be picked")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels side by side, `height` high (a unit is 38 pixels) unless they say otherwise.

    `heading` makes it a line with a title, which hides what stands in the row when `closed`.
    `tiles` is short for panels of the kind `tile`, 6 wide, whose keys are their KPIs;
    `others` adds a tile for each KPI of the dashboard's family that no panel shows.
    """

    height: int = 1
    panels: tuple[Panel, ...] = ()
    tiles: tuple[KpiId, ...] = ()
    others: bool = False
    heading: Word | None = None
    closed: bool = False

    def __post_init__(self) -> None:
        if not (self.panels or self.tiles or self.others or self.heading):
            raise ValueError("a row has panels, tiles or a heading")
        if self.closed and not self.heading:
            raise ValueError("a row that is closed needs a heading")


@dataclass(frozen=True, kw_only=True)
class Board:
    """A dashboard.

    `about`: what it answers, in a sentence; `words`: the texts that only it uses; `range`: the
    time range at first; `place`: where it stands among its family's; `bell`: whether it has the
    link to the daily report, which is of one value of its variable `experience`.
    """

    family: Literal["home", "experience", "potential", "messaging", "after_sales", "bots"]
    title: Text
    about: Text
    rows: tuple[Row, ...]
    place: int
    range: RangeName = RangeName("days30")
    filters: tuple[Filter, ...] = ()
    choice: Choice | None = None
    bell: bool = False
    words: dict[str, Text] = field(default_factory=dict)
