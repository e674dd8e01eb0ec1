"""What a dashboard shows, in words: the page of the docs that its link Learn opens."""

from dataclasses import dataclass
from functools import cache

from datasource.catalog import LANGUAGES, Catalog
from datasource.grafana.boards import read, scenes
from datasource.grafana.frame import panels_of
from datasource.grafana.panels.tables import others
from datasource.grafana.scene import Scene


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of a description; one that defines a KPI begins with its `title`."""

    title: str
    text: str


@dataclass(frozen=True)
class Section:
    """A panel with the KPIs it shows, or a line that heads panels and has no paragraphs."""

    title: str
    paragraphs: tuple[Paragraph, ...]
    kpis: tuple[str, ...]


@dataclass(frozen=True)
class Guide:
    """The page of a dashboard in a language; `sisters` are (name, title) of its family's."""

    language: str
    title: str
    about: str
    sections: tuple[Section, ...]
    sisters: tuple[tuple[str, str], ...]


@cache
def guides() -> dict[tuple[str, str], Guide]:
    """Return all pages by language and dashboard. Raises SpecError."""
    catalog = Catalog.read()
    boards = read(catalog)
    return {
        (language, scene.name): guide_of(scene)
        for language in LANGUAGES
        for scene in scenes(catalog, boards, language)
    }


def guide_of(scene: Scene) -> Guide:
    """Return the page of a dashboard in the language of its scene."""
    language, sections = scene.words.language, list[Section]()
    for row in scene.board.rows:
        if row.heading:
            headed = others(scene) if row.others else ()
            sections.append(Section(scene.words[row.heading], (), headed))
        for panel in panels_of(row):
            made = panel.build(scene)
            title = made["title"]
            if scene.board.choice:
                chosen = scene.metric.formatted("text")
                title = title.replace(chosen, scene.words["chosen_metric"])
            paragraphs = tuple(_paragraph(text) for text in made["description"].split("\n\n"))
            if title.strip() and "${" not in title:
                sections.append(Section(title, paragraphs, panel.shown(scene)))
    sisters = sorted(
        (board.place, name, board.title.within(language))
        for name, board in scene.boards.items()
        if board.family == scene.board.family
    )
    return Guide(
        language=language,
        title=scene.board.title.within(language),
        about=scene.board.about.within(language),
        sections=tuple(dict.fromkeys(sections)),
        sisters=tuple((name, title) for _, name, title in sisters),
    )


def _paragraph(text: str) -> Paragraph:
    title, mark, rest = text.removeprefix("**").partition("**: ")
    return Paragraph(title, rest) if mark else Paragraph("", text)
