"""What a panel is built in: its dashboard, the words of one language, the other dashboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from datasource.grafana.question import Question, Variable
from datasource.grafana.words import Words

if TYPE_CHECKING:
    from datasource.grafana.spec import Board

# The time picker: names, each a shared text, with where the range starts and ends.
RANGES = {
    "days30": ("now-30d/d", "now-1d/d"),
    "days7": ("now-7d/d", "now-1d/d"),
    "yesterday": ("now-1d/d", "now-1d/d"),
    "today": ("now/d", "now"),
    "month": ("now/M", "now"),
    "last_month": ("now-1M/M", "now-1M/M"),
    "months12": ("now-12M/M", "now-1M/M"),
    "this_year": ("now/y", "now"),
}
BEHIND = "behind_the_number"  # the dashboard that shows what a number counted


def uid(board: str, language: str) -> str:
    """Return the uid of a dashboard in a language."""
    return f"chatkpi-{language}-{board.replace('_', '-')}"


@dataclass(frozen=True)
class Scene:
    """A dashboard in one language; `boards` are all dashboards by name."""

    name: str
    board: Board
    boards: Mapping[str, Board]
    words: Words

    @property
    def chosen(self) -> tuple[str, ...]:
        """The KPIs that the viewer picks from. Raises ValueError when there is no choice."""
        if not self.board.choice:
            raise ValueError("the dashboard has no `choice`")
        return self.board.choice.kpis or tuple(self.words.catalog.kpis)

    @property
    def metric(self) -> Variable:
        """The variable of the KPI that the viewer picked. Raises ValueError without a choice."""
        if not self.board.choice:
            raise ValueError("the dashboard has no `choice`")
        return Variable(self.board.choice.variable, "doublequote")

    def filters(self, dims: Sequence[str]) -> dict[str, Variable]:
        """Return the variable of the tenant, and those that narrow one of these dimensions."""
        found = {"tenant": Variable("tenant", "doublequote")}
        for one in self.board.filters:
            if one.dim in dims:
                found[one.dim] = Variable(one.dim, "doublequote" if one.one else "json")
        return found

    def shared_dims(self, kpis: Sequence[str]) -> list[str]:
        """Return the dimensions that every one of the KPIs has."""
        of_each = [self.words.catalog.kpis[kpi].dims for kpi in kpis]
        return [dim for dim in of_each[0] if all(dim in dims for dims in of_each)]

    def question(self, kpis: Sequence[str], **more: object) -> Question:
        """Return a question about KPIs, narrowed by the dashboard's variables."""
        filters = self.filters(self.shared_dims(kpis))
        return Question(kpis=kpis, filters=filters, **more)  # type: ignore[arg-type]

    def question_on_metric(self, **more: object) -> Question:
        """Return a question about the KPI that the viewer picked, or one of several."""
        filters = self.filters(self.shared_dims(self.chosen))
        return Question(kpis=[self.metric], filters=filters, **more)  # type: ignore[arg-type]

    def url(
        self,
        board: str,
        variables: Mapping[str, str] = {},
        *,
        keeps: bool = True,
        span: str = "",
    ) -> str:
        """Return the address of a dashboard in this language, which keeps the time range.

        `variables` are set there; the others stay as they are here when it `keeps` them. `span`
        names another time range.
        """
        if board not in self.boards:
            raise ValueError(f"there is no dashboard {board!r}")
        starts, ends = RANGES.get(span, ("", ""))
        parts = [f"from={starts}&to={ends}" if span else "${__url_time_range}"]
        parts += ["var-datasource=${datasource}"]
        kept = ["tenant"]
        if keeps:
            kept += [one.dim for one in self.board.filters]
            kept += [self.board.choice.variable] if self.board.choice else []
        if keeps and board == self.name:
            panels = [panel for row in self.board.rows for panel in row.panels]
            kept += [one["name"] for panel in panels for one in panel.variables(self)]
        parts += [f"${{{name}:queryparam}}" for name in kept if name not in variables]
        parts += [f"var-{name}={value}" for name, value in variables.items()]
        return f"/d/{uid(board, self.words.language)}?" + "&".join(parts)

    def behind(self, kpi: str | Variable, question: Question) -> str:
        """Return the address of what a KPI counted, in the range and filters of a question."""
        name = kpi if isinstance(kpi, str) else str(Variable(kpi.name))
        given, kept = {"kpi": name}, ""
        for dim, value in question.filters.items():
            if isinstance(value, str):
                given[dim] = quote(value, safe="")
            elif value.name != dim:
                given[dim] = value.encoded()
            elif dim != "tenant":  # which every address keeps
                # Each value for itself, for the format `percentencode` writes several as one text.
                kept += f"&{value.formatted('queryparam')}"
        return self.url(BEHIND, given, keeps=False) + kept
