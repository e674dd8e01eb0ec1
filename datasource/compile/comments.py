"""COMMENT ON every public view and column, in the words of the KPI's own file."""

from collections.abc import Iterator

from datasource.catalog import DIMS, Catalog
from datasource.compile.definition import Compiled
from datasource.compile.statements import MEASURES, literal, quote

MEASURE_WORDS = {
    "contact": "A contact to count: count each once, COUNT(DISTINCT contact).",
    "conversation": "A conversation to count: count each once, COUNT(DISTINCT conversation).",
    "user_id": "A user to count: count each once, COUNT(DISTINCT user_id).",
    "value": "What to add up: SUM(value).",
    "level": "The month's level; levels of several months do not add up.",
    "numerator": "The sum above the line: SUM(numerator) / SUM(denominator).",
    "denominator": "The sum below the line.",
}


def measures(compiled: Compiled) -> list[str]:
    """The names of a public view's last columns."""
    if compiled.fold == "ratio":
        return ["numerator", "denominator"]
    if compiled.entity:
        return [MEASURES[compiled.entity]]
    return ["level" if compiled.kpi.is_level else "value"]


def comments(catalog: Catalog, every: dict[str, Compiled]) -> Iterator[str]:
    """The COMMENT statements of all public views and facts."""
    for fact in catalog.facts.values():
        yield f"COMMENT ON TABLE kpi_fact.{quote(fact.name)} IS {literal(fact.description)}"
    for compiled in every.values():
        kpi = compiled.kpi
        view = f"kpi.{quote(kpi.kpi_id)}"
        unit = "" if kpi.unit == "none" else f" In {kpi.unit}."
        yield f"COMMENT ON VIEW {view} IS {literal(f'{kpi.title}: {kpi.description}{unit}')}"
        time = "month" if kpi.grain == "month" else "day"
        words = {
            "tenant_id": "The tenant.",
            time: f"The {time} in the tenant's own time zone" + (", its first day." if time == "month" else "."),
        }
        for dim in kpi.dims:
            what = f"{DIMS[dim].title}: an id" if DIMS[dim].entity else DIMS[dim].title
            words[dim] = f"{what}, or “{DIMS[dim].missing}”."
        for measure in measures(compiled):
            words[measure] = MEASURE_WORDS[measure]
        for column, text in words.items():
            yield f"COMMENT ON COLUMN {view}.{quote(column)} IS {literal(text)}"
