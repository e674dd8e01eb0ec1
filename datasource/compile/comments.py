"""COMMENT ON every public view and column, in the words of the KPI's own file."""

from collections.abc import Iterator

from datasource.catalog import DIMS, Catalog
from datasource.compile import Compiled, literal, measures, quote

WORDS = {
    "tenant_id": "The tenant.",
    "day": "The day in the tenant's own time zone.",
    "month": "The month in the tenant's own time zone, its first day.",
    "contact": "A contact to count: count each once, COUNT(DISTINCT contact).",
    "conversation": "A conversation to count: count each once, COUNT(DISTINCT conversation).",
    "user_id": "A user to count: count each once, COUNT(DISTINCT user_id).",
    "value": "What to add up: SUM(value).",
    "level": "The month's level; levels of several months do not add up.",
    "numerator": "The sum above the line: SUM(numerator) / SUM(denominator).",
    "denominator": "The sum below the line.",
}


def fact_comments(catalog: Catalog) -> Iterator[str]:
    """Give the COMMENT statements of all facts."""
    for fact in catalog.facts.values():
        yield f"COMMENT ON TABLE kpi_fact.{quote(fact.name)} IS {literal(fact.description)}"


def view_comments(compiled: Compiled) -> Iterator[str]:
    """Give the COMMENT statements of a KPI's public view and its columns."""
    kpi, view = compiled.kpi, f"kpi.{quote(compiled.kpi.kpi_id)}"
    unit = "" if kpi.unit == "none" else f" In {kpi.unit}."
    about = ": ".join(kpi.words["en"]) + unit
    yield f"COMMENT ON VIEW {view} IS {literal(about)}"
    words = {name: WORDS[name] for name in ("tenant_id", kpi.grain, *measures(compiled))}
    for dim in kpi.dims:
        ident = ": an id" if DIMS[dim].entity else ""
        words[dim] = f"{DIMS[dim].title}{ident}, or “{DIMS[dim].missing}”."
    for column, text in words.items():
        yield f"COMMENT ON COLUMN {view}.{quote(column)} IS {literal(text)}"
