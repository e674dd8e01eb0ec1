"""`docs/records.md`: every type of record with its fields, and which ones each KPI is counted from.

It is made from the input contract and the definitions.
"""

import json
from collections.abc import Iterable, Iterator

from datasource.catalog import FAMILIES, Catalog, Kpi
from datasource.compile import compile_kpis
from datasource.documentation.kpi_docs import TEXTS
from datasource.documentation.lineage import ANY, Lineage, lineage
from datasource.store.contract import ENTITIES, EVENTS
from datasource.store.record_type import (
    AT,
    DIMENSIONS,
    EVENT,
    IDENTITY,
    TENANT,
    TYPE,
    Field,
    RecordType,
)

PATH = "docs/records.md"
HEAD = "| field | says | takes | |\n|---|---|---|---|\n"
WHICH_HEAD = """
| number | events | needs | optional | entities |
|---|---|---|---|---|
"""
EXAMPLE_AT = "2026-11-01T10:00:00+01:00"


def build(catalog: Catalog) -> dict[str, str]:
    """Return the page by its path below the repository."""
    every = compile_kpis(catalog)
    words = TEXTS["records"]
    page = f"{words['intro']}\n{words['which']}"
    for family, titles in FAMILIES.items():
        rows = (
            _which(kpi, lineage(kpi, every, catalog))
            for kpi in catalog.kpis.values()
            if kpi.family == family
        )
        page += f"\n### {titles['en']}: numbers\n{WHICH_HEAD}" + "".join(rows)
    page += f"\n{words['fields']}\n" + _table(_common())
    page += "\n## Events\n\nEach may have these, and most name a `contact`:\n\n"
    page += _table((known, "") for known in DIMENSIONS)
    page += "".join(_section(known) for known in EVENTS)
    page += "\n## Entities\n" + "".join(_section(known) for known in ENTITIES)
    return {PATH: page}


def _which(kpi: Kpi, reads: Lineage) -> str:
    """Return a KPI's row of the table of numbers."""
    columns = (
        f"{kpi.words['en'][0]} `{kpi.kpi_id}`",
        ANY if reads.events == (ANY,) else _names(reads.events, link=True),
        _names(reads.needed),
        _names(reads.dims),
        _names(reads.entities, link=True),
    )
    return f"| {' | '.join(columns)} |\n"


def _names(names: Iterable[str], *, link: bool = False) -> str:
    """Return names as code, with links to their sections if asked for."""
    return ", ".join(f"[`{name}`](#{name})" if link else f"`{name}`" for name in names)


def _common() -> Iterator[tuple[Field, str]]:
    """Give the fields of all records, and what they are needed on."""
    yield TYPE, "needed"
    yield TENANT, "needed, but on a `tenant`"
    yield IDENTITY, "needed, but on a `potential`"
    yield AT, "needed on events"


def _section(known: RecordType) -> str:
    """Return what the page says of a type of record."""
    own = [field for field in known.own if field.name != "id"]
    table = _table((field, _note(field, known)) for field in own) + "\n" if own else ""
    return f"\n### {known.name}\n\n{known.about}\n\n{table}```json\n{example(known)}\n```\n"


def _note(field: Field, known: RecordType) -> str:
    """Return whether a field is needed, else what holds without it."""
    if field.name in known.required:
        return "needed"
    if field.default is None:
        return ""
    return f"without it `{'true' if field.default == 't' else field.default}`"


def _table(fields: Iterable[tuple[Field, str]]) -> str:
    rows = (
        f"| `{known.name}` | {known.about} | {known.check.takes} | {note} |\n"
        for known, note in fields
    )
    return HEAD + "".join(rows)


def example(known: RecordType) -> str:
    """Return a record of a type, as a line of a load."""
    record: dict[str, object] = {"type": known.name}
    if known.name == "tenant":
        record["id"] = "acme"
    else:
        record["tenant"] = "acme"
        if known.table == EVENT:
            record["id"] = f"{known.name}-1"
    if known.table == EVENT:
        record["at"] = EXAMPLE_AT
    return json.dumps(record | dict(known.example), ensure_ascii=False)
