"""Words: what there is, where to find it, how new the data are."""

from dataclasses import dataclass
from typing import Literal

from datasource.grafana.looks import MOMENT, link, organized, override
from datasource.grafana.panels.base import Panel
from datasource.grafana.panels.tables import OPTIONS, column
from datasource.grafana.question import Column, Json, Question, target, text
from datasource.grafana.scene import BEHIND, Scene
from datasource.grafana.words import BoardName, KpiId, RangeName, Word


def markdown(title: str, about: str, content: str) -> Json:
    """Return a panel of words."""
    return {
        "type": "text",
        "title": title,
        "description": about,
        "options": {"mode": "markdown", "content": content},
        "fieldConfig": {"defaults": {}, "overrides": []},
        "links": [],
        "targets": [],
    }


@dataclass(frozen=True, kw_only=True)
class Words(Panel):
    """A text in Markdown."""

    content: Word
    about: Word

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        title = words[self.title] if self.title else ""
        return markdown(title, words[self.about], words[self.content])


@dataclass(frozen=True, kw_only=True)
class About(Panel):
    """What the dashboard answers, in its own sentence."""

    def build(self, scene: Scene) -> Json:  # noqa: D102
        about = scene.board.about.within(scene.words.language)
        return markdown("", about, about) | {"transparent": True}


@dataclass(frozen=True, kw_only=True)
class Directory(Panel):
    """The dashboards of a family, each with what it answers."""

    family: Literal["home", "experience", "potential", "messaging", "after_sales", "bots"]

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        boards = sorted(
            (board.place, name)
            for name, board in scene.boards.items()
            if board.family == self.family and name not in (scene.name, BEHIND)
        )
        lines = [
            f"- [{scene.boards[name].title.within(words.language)}]({scene.url(name)}): "
            f"{scene.boards[name].about.within(words.language)}"
            for _, name in boards
        ]
        return markdown(words[f"in_{self.family}"], words["directory_about"], "\n".join(lines))


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """A question and the dashboard that answers it, with a range and a metric if need be."""

    question: Word
    board: BoardName
    range: RangeName | None = None
    metric: KpiId | None = None


@dataclass(frozen=True, kw_only=True)
class Questions(Panel):
    """Questions, each a link to its answer."""

    shortcuts: tuple[Shortcut, ...]

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words, lines = scene.words, []
        for one in self.shortcuts:
            variables = self.picked(scene, one)
            url = scene.url(one.board, variables, span=one.range or "")
            lines.append(f"- [{words[one.question]}]({url})")
        title = words[self.title] if self.title else ""
        return markdown(title, words["directory_about"], "\n".join(lines))

    def picked(self, scene: Scene, shortcut: Shortcut) -> dict[str, str]:
        """Return the variable that picks the shortcut's metric on its dashboard."""
        choice = scene.boards[shortcut.board].choice
        if not shortcut.metric:
            return {}
        if not choice or shortcut.metric not in choice.kpis:
            raise ValueError(f"{shortcut.board} has no metric {shortcut.metric}")
        return {choice.variable: shortcut.metric}


@dataclass(frozen=True, kw_only=True)
class Freshness(Panel):
    """Each materialized view: its newest event, when it was refreshed, how far it is behind."""

    def build(self, scene: Scene) -> Json:  # noqa: D102
        words = scene.words
        asked = Question(list="freshness", is_ranged=False, filters={})
        moment = {"unit": MOMENT}
        columns = [
            *text("view_name"),
            Column("newest_event", "timestamp_epoch"),
            Column("refreshed_at", "timestamp_epoch"),
            Column("behind"),
        ]
        return self.made(
            scene,
            "table",
            [target(asked, columns)],
            about=words["freshness_about"],
            options=OPTIONS | {"sortBy": [{"displayName": words["behind_column"], "desc": True}]},
            overrides=[
                override("view_name", column(words["view"])),
                override("newest_event", column(words["newest"], 170, **moment)),
                override("refreshed_at", column(words["refreshed"], 170, **moment)),
                override("behind", column(words["behind_column"], 150, unit="s", decimals=0)),
            ],
            transformations=[organized("view_name", "newest_event", "refreshed_at", "behind")],
            links=[link(words["csv"].format(words["freshness"]), asked.export(), new_tab=True)],
        )
