"""The catalogue: KPIs and facts as `views/` defines them, dimensions, lists; without a database.

A definition is a header of `-- key: value` lines over one SELECT.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

HEADER = re.compile(r"--\s*(\w+):[ \t]*(.*)\n")
REQUIRED = {"title", "description", "unit", "counting", "source"}
OPTIONAL = {"dims", "grain", "distribution", "level"}


class DefinitionError(Exception):
    """A file in `views/` that cannot be used; the message names the file and says what to mend."""


@dataclass(frozen=True)
class Dim:
    """A dimension.

    `title`, `title_nl`: its name. `missing`: its value where there is none. `entity`: the record
    type whose ids are its values, if they are ids. `parent_of`: the dimension whose record has it
    as a field: `folder` has `parent_of` experience, so the present record of the experience says
    which folder it is.
    """

    title: str
    title_nl: str
    missing: str
    entity: str | None = None
    parent_of: str | None = None


@dataclass(frozen=True)
class ThingList:
    """A list of things, which is asked for by its name in place of a KPI.

    `columns`: what a row has, in order; `times`: those of them that are milliseconds since 1970.
    `dims`: the dimensions by which it is filtered, besides tenant; `filters_itself`: its function
    does that. `has_range`: it is of a range. `needs_kpi`, `default_kpi`: it is of a KPI, which the
    question has to name or may name; it is then filtered by that KPI's dimensions, and
    `shows_dims_of_kpi` says that its rows end with them. `names_tenant`: rows of several tenants
    start with theirs. `is_kept`: an answer stays right while nothing is loaded or refreshed.

    `function`: the function of the schema kpi_http that gives its rows, `list_<name>` if nothing is
    said; `entity`: the type of record that is listed, by a function that is there already.
    """

    columns: tuple[str, ...]
    function: str
    entity: str | None = None
    times: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    has_range: bool = False
    needs_kpi: bool = False
    default_kpi: str | None = None
    shows_dims_of_kpi: bool = False
    filters_itself: bool = False
    names_tenant: bool = True
    is_kept: bool = True


def _table(name: str) -> dict[str, dict[str, Any]]:
    """Return a table beside this file."""
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _thing_list(name: str, row: dict[str, Any]) -> ThingList:
    function = "list_entities" if "entity" in row else f"list_{name}"
    texts: dict[str, Any] = {
        key: tuple(row[key]) for key in ("columns", "times", "dims") if key in row
    }
    return ThingList(**({"function": function} | row | texts))


DIMS = {name: Dim(**{"missing": f"no {name}"} | row) for name, row in _table("dims.toml").items()}
# The languages of pages, dashboards and mails, each by its own name; the first is the default.
LANGUAGES = {"en": "English", "nl": "Nederlands"}
LISTS = {name: _thing_list(name, row) for name, row in _table("lists.toml").items()}
# The title of each family by language, in the order in which people read them.
FAMILIES = {
    name: {"en": row["title"], "nl": row["title_nl"]}
    for name, row in _table("families.toml").items()
}


@dataclass(frozen=True)
class Kpi:
    """A KPI as its file words it.

    `words` maps a language to (title, description); `grain`: day or month; a level is a value
    whose months do not add up.
    """

    kpi_id: str
    family: str
    words: dict[str, tuple[str, str]]
    unit: str
    counting: str
    source: str
    dims: tuple[str, ...]
    grain: str
    distribution: bool
    is_level: bool
    definition: str
    path: Path

    @property
    def is_formula(self) -> bool:
        """Whether it is made of other KPIs."""
        return self.counting in ("ratio", "score")


@dataclass(frozen=True)
class Fact:
    """A fact table.

    `key`: by what it is rewritten after a load (event, contact, conversation, tenant, month, all);
    `reads`: the kinds of events that make a contact or conversation due, or the facts (`fact` or
    `fact:kind`) whose changes make a month due; `joins`: the records (user, inbox) that its rows
    are joined with, so that a tenant's rows are due when one moves; `select`: its rows.
    """

    name: str
    description: str
    key: str
    reads: tuple[str, ...]
    joins: tuple[str, ...]
    indexes: tuple[str, ...]
    select: str


@dataclass(frozen=True)
class Catalog:
    """Everything that a folder of definitions says."""

    folder: Path
    kpis: dict[str, Kpi]
    facts: dict[str, Fact]
    schema: tuple[Path, ...]
    migrations: tuple[Path, ...]

    @classmethod
    def read(cls, folder: Path | None = None) -> "Catalog":
        """Read a folder of definitions, by default the package's own. Raises DefinitionError."""
        folder = folder or views_folder()
        listed = folder / "kpi" / "order.txt"
        order = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
        place = {name: number for number, name in enumerate(order)}
        kpis = {
            path.stem: _kpi(path)
            for family in FAMILIES
            for path in sorted(
                (folder / "kpi" / family).glob("*.sql"),
                key=lambda path: (place.get(path.stem, len(place)), path),
            )
        }
        facts = {path.stem: _fact(path) for path in sorted((folder / "facts").glob("*.sql"))}
        schema, migrations = (
            tuple(sorted((folder / name).glob("*.sql"))) for name in ("schema", "migrations")
        )
        return cls(folder, kpis, facts, schema, migrations)


def shipped(name: str, in_checkout: str) -> Path:
    """Return a folder that a wheel has inside the package, a checkout at a path of its own."""
    package = Path(__file__).resolve().parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / in_checkout


def views_folder() -> Path:
    """Return the folder of definitions."""
    return shipped("views", "views")


def refuse(path: Path, mistakes: Mapping[str, object]) -> None:
    """Raise DefinitionError with the words of all mistakes that were made (whose value is true)."""
    made = [words for words, is_made in mistakes.items() if is_made]
    if made:
        raise DefinitionError(f"{path}: {'; '.join(made)}")


def _split(path: Path) -> tuple[list[tuple[str, str]], str]:
    """Return a definition file's header, (key, value) for each line, and the SQL below it."""
    text, at, header = path.read_text(encoding="utf-8"), 0, []
    while line := HEADER.match(text, at):
        header.append((line[1], line[2].strip()))
        at = line.end()
    return header, text[at:].strip()


def _missing(header: Mapping[str, str], keys: set[str]) -> dict[str, bool]:
    """Return a mistake for each key that a header should have: whether it lacks it."""
    return {f"the header has no `-- {key}: …`": not header.get(key) for key in sorted(keys)}


def _kpi(path: Path) -> Kpi:
    """Read one KPI's file and the translation beside it."""
    lines, definition = _split(path)
    header = dict(lines)
    dutch = path.with_suffix(".nl.txt")
    translation = dutch.read_text(encoding="utf-8") if dutch.is_file() else ""
    words = dict(re.findall(r"^(title|description): *(.+)$", translation, re.M))
    dims = tuple(re.findall(r"[^,\s]+", header.get("dims", "")))
    grain = header.get("grain", "day")
    unknown_dims = ", ".join(dim for dim in dims if dim not in DIMS or dim == "tenant")
    unknown = ", ".join(sorted(header.keys() - REQUIRED - OPTIONAL))
    is_id = re.fullmatch(r"[a-z][a-z0-9_]{0,40}", path.stem)
    refuse(
        path,
        {
            "a KPI's file name is its id: lower case, digits and _, at most 41": not is_id,
            **_missing(header, REQUIRED),
            f"unknown header {unknown}": unknown,
            f"unknown dimension {unknown_dims}": unknown_dims,
            f"unknown grain {grain}": grain not in ("day", "month"),
            f"its Dutch words are missing, in {dutch.name} beside it": not dutch.is_file(),
            f"{dutch.name} needs a line `title: …` and a line `description: …`": (
                dutch.is_file() and len(words) < 2
            ),
        },
    )
    return Kpi(
        kpi_id=path.stem,
        family=path.parent.name,
        path=path,
        definition=definition,
        words={
            "en": (header["title"], header["description"]),
            "nl": (words["title"], words["description"]),
        },
        unit=header["unit"],
        counting=header["counting"],
        source=header["source"],
        dims=dims,
        grain=grain,
        distribution=header.get("distribution") == "yes",
        is_level=header.get("level") == "yes",
    )


def _fact(path: Path) -> Fact:
    """Read one fact's file."""
    lines, select = _split(path)
    header = dict(lines)
    refuse(path, _missing(header, {"description", "key"}))
    reads = tuple(re.findall(r"[^,\s]+", header.get("reads", "any")))
    joins = tuple(re.findall(r"[^,\s]+", header.get("joins", "")))
    indexes = tuple(value for key, value in lines if key == "index")
    return Fact(path.stem, header["description"], header["key"], reads, joins, indexes, select)


def in_order(facts: dict[str, Fact]) -> list[Fact]:
    """Return the facts in such an order that each comes after those it is made from."""
    made_from = {
        name: [
            other
            for other in re.findall(r"(?:FROM|JOIN) (\w+)", fact.select)
            if other in facts and other != name
        ]
        for name, fact in facts.items()
    }
    return [facts[name] for name in TopologicalSorter(made_from).static_order()]
