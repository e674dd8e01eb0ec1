"""What every panel has in common: its place, its key and id, its words, its links."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from datasource.grafana.looks import link, unit
from datasource.grafana.question import SOURCE, Json, Question, Variable
from datasource.grafana.scene import Scene
from datasource.grafana.words import Word, Words


def panel_number(key: str) -> int:
    """Return the id of the panel with this key: the same whatever stands beside it."""
    return int.from_bytes(sha256(key.encode()).digest()[:4]) >> 1


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel of a dashboard's file; each kind is a subclass.

    `key` names it within its dashboard for good: alerts and links point to it. `width` is out of
    24, `height` its row's unless given; `under` places it beneath the panel before it. `title`: a
    text, by default the first KPI's; `note`: a text that follows the definitions in its tooltip.
    """

    key: str
    width: int
    height: int = 0
    under: bool = False
    title: Word | None = None
    note: Word | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 24:
            raise ValueError("`width` is from 1 to 24")

    def shown(self, scene: Scene) -> tuple[str, ...]:
        """Return the KPIs that the panel shows."""
        return ()

    def variables(self, scene: Scene) -> list[Json]:
        """Return the hidden variables that the panel needs, as Grafana has them."""
        return []

    def build(self, scene: Scene) -> Json:
        """Return the panel as Grafana has it, without its id and place.

        Raises ValueError when what the file says does not fit the dashboard or the catalogue.
        """
        raise NotImplementedError

    def made(
        self,
        scene: Scene,
        kind: str,
        targets: Sequence[Json],
        *,
        about: str = "",
        note: str = "",
        title: str = "",
        options: Mapping[str, Any],
        fields: Mapping[str, Any] = {},
        overrides: Sequence[Json] = (),
        transformations: Sequence[Json] = (),
        links: Sequence[Json] = (),
    ) -> Json:
        """Return a panel of Grafana's kind `kind`.

        `about` and `title` stand in place of the KPIs' words; `note` names words that go after
        `about`, before the panel's own; `fields` are of all fields, on top of the first KPI's unit.
        """
        words, kpis = scene.words, self.shown(scene)
        if self.title:
            title = words[self.title]
        about = about or words.about(*kpis)
        notes = [words[name] for name in (note, self.note) if name]
        about = "\n\n".join(filter(None, [about, *notes]))
        defaults = {"noValue": words["nothing"], **(unit(words, kpis[0]) if kpis else {})}
        if kind == "table":  # whose cells without a value would show those words too
            defaults["mappings"] = [nothing_shown("null"), nothing_shown("empty")]
            defaults["custom"] = {"minWidth": 80, "wrapHeaderText": True}  # else 150 pixels each
        return {
            "type": kind,
            "title": title or (words.title(kpis[0]) if kpis else ""),
            "description": about,
            "datasource": SOURCE,
            "targets": [*targets],
            "links": [*links],
            "options": dict(options),
            "fieldConfig": {"defaults": {**defaults, **fields}, "overrides": [*overrides]},
            "transformations": [*transformations],
        }


def nothing_shown(match: str) -> Json:
    """Return the value mapping that shows a dash in a cell without a value."""
    return {"type": "special", "options": {"match": match, "result": {"text": "–"}}}


def links(scene: Scene, kpis: Sequence[str | Variable], question: Question) -> list[Json]:
    """Return a panel's links: each KPI's numbers as a file, and what they counted."""
    words, found = scene.words, []
    for kpi in kpis:
        title = words.title(kpi) if isinstance(kpi, str) else str(Variable(kpi.name, "text"))
        found.append(link(words["csv"].format(title), question.export(kpi), new_tab=True))
    for kpi in kpis:
        title = words.title(kpi) if isinstance(kpi, str) else str(Variable(kpi.name, "text"))
        found.append(link(words["behind"].format(title), scene.behind(kpi, question)))
    return found


def picked(scene: Scene, others: Sequence[str]) -> Json:
    """Return the transformation that keeps the picked metrics' fields, and the others named."""
    kept = f"^({'|'.join(others)}|{scene.metric.formatted('pipe')})$"
    return {"id": "filterFieldsByName", "options": {"include": {"pattern": kept}}}


def jq_words(words: Words, dim: str, field: str) -> str:
    """Return a jq program that puts words in place of a dimension's values in a field of rows."""
    texts = json.dumps(words.values(dim), ensure_ascii=False)
    return f"map(.{field} |= ({texts}[.] // .))" if words.values(dim) else ""
