"""Reads the definitions in `views/`: a header of `-- key: value` lines over one SELECT."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from datasource.catalog.dims import DIMS

FAMILIES = ("experience", "module", "messaging", "potential", "after_sales", "bots")
HEADER = re.compile(r"--\s*(\w+):\s*(.*)")
REQUIRED = ("title", "description", "unit", "counting", "source")
OPTIONAL = ("dims", "grain", "distribution", "level")


class DefinitionError(Exception):
    """A file in `views/` that cannot be used; the message names the file and says what to mend."""


@dataclass(frozen=True)
class Kpi:
    """A KPI as its file words it.

    `words` maps a language to (title, description); a level is a value whose months do not add up.
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
        return self.counting in ("ratio", "score")

    @property
    def title(self) -> str:
        return self.words["en"][0]

    @property
    def description(self) -> str:
        return self.words["en"][1]


@dataclass(frozen=True)
class Fact:
    """A fact table.

    `key`: by what it is rewritten after a load (event, contact, conversation, tenant, month, all);
    `reads`: the kinds of events that make a contact or conversation due; `select`: its rows.
    """

    name: str
    description: str
    key: str
    reads: tuple[str, ...]
    indexes: tuple[str, ...]
    select: str


@dataclass(frozen=True)
class Catalog:
    """Everything that a folder of definitions says."""

    folder: Path
    kpis: dict[str, Kpi]
    facts: dict[str, Fact]
    schema: tuple[Path, ...] = field(default=())

    @classmethod
    def read(cls, folder: Path | None = None) -> "Catalog":
        """Reads a folder of definitions, by default the package's own. Raises DefinitionError."""
        folder = folder or views_folder()
        kpis = {}
        for family in FAMILIES:
            for path in sorted((folder / "kpi" / family).glob("*.sql")):
                kpis[path.stem] = read_kpi(path, family)
        facts = {path.stem: read_fact(path) for path in sorted((folder / "facts").glob("*.sql"))}
        return cls(folder, kpis, facts, tuple(sorted((folder / "schema").glob("*.sql"))))


def views_folder() -> Path:
    """The definitions that came with the package: beside it in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "views"
    return inside if inside.is_dir() else package.parent / "views"


def split(path: Path) -> tuple[dict[str, list[str]], str]:
    """A definition file's header, each key with its lines, and what follows it."""
    header: dict[str, list[str]] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    body = 0
    for body, line in enumerate(lines):
        match = HEADER.match(line)
        if not match:
            break
        header.setdefault(match[1], []).append(match[2].strip())
    return header, "\n".join(lines[body:]).strip()


def read_kpi(path: Path, family: str) -> Kpi:
    """One KPI file and its translations beside it (`<kpi_id>.<language>.txt`)."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", path.stem):
        raise DefinitionError(f"{path}: a KPI's file name is its id: lower case, digits and _, at most 41")
    header, definition = split(path)
    for key in REQUIRED:
        if not header.get(key, [""])[0]:
            raise DefinitionError(f"{path}: the header has no `-- {key}: …`")
    unknown = set(header) - set(REQUIRED) - set(OPTIONAL)
    if unknown:
        raise DefinitionError(f"{path}: unknown header {', '.join(sorted(unknown))}")
    dims = tuple(dim for dim in re.split(r",\s*", header.get("dims", [""])[0]) if dim)
    for dim in dims:
        if dim not in DIMS or dim == "tenant":
            raise DefinitionError(f"{path}: unknown dimension {dim}")
    words = {"en": (header["title"][0], header["description"][0])}
    for translation in sorted(path.parent.glob(f"{path.stem}.*.txt")):
        lines = dict(re.findall(r"^(title|description): *(.+)$", translation.read_text(encoding="utf-8"), re.M))
        if set(lines) != {"title", "description"}:
            raise DefinitionError(f"{translation}: needs a line `title: …` and a line `description: …`")
        words[translation.name.split(".")[1]] = (lines["title"], lines["description"])
    if "nl" not in words:
        raise DefinitionError(f"{path}: its Dutch words are missing, in {path.stem}.nl.txt beside it")
    return Kpi(
        kpi_id=path.stem,
        family=family,
        words=words,
        unit=header["unit"][0],
        counting=header["counting"][0],
        source=header["source"][0],
        dims=dims,
        grain=header.get("grain", ["day"])[0],
        distribution=header.get("distribution", ["no"])[0] == "yes",
        is_level=header.get("level", ["no"])[0] == "yes",
        definition=definition,
        path=path,
    )


def read_fact(path: Path) -> Fact:
    """One fact file."""
    header, select = split(path)
    for key in ("description", "key"):
        if key not in header:
            raise DefinitionError(f"{path}: the header has no `-- {key}: …`")
    reads = tuple(re.split(r",\s*", header.get("reads", ["any"])[0]))
    return Fact(
        path.stem, header["description"][0], header["key"][0], reads, tuple(header.get("index", [])), select
    )


def in_order(facts: dict[str, Fact]) -> list[Fact]:
    """The facts so that each comes after those it is made from."""
    ordered: list[Fact] = []

    def place(fact: Fact) -> None:
        if fact in ordered:
            return
        for name in re.findall(r"(?:FROM|JOIN) (\w+)", fact.select):
            if name in facts and name != fact.name:
                place(facts[name])
        ordered.append(fact)

    for fact in facts.values():
        place(fact)
    return ordered
