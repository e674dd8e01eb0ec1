"""From which records a KPI is counted, read off its definition and those of its facts."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from datasource.catalog import DIMS, Catalog, Fact, Kpi
from datasource.compile.definition import TABLES, Compiled, CountedKpi
from datasource.store.contract import ENTITIES, TYPES
from datasource.store.record_type import DIMENSIONS

ANY = "any event"
# The fields behind the numbers that stand for ids in facts.
NUMBERED = {"contact_no": "contact", "conversation_no": "conversation", "user_no": "user"}
# Facts whose rows are events with their kinds; of them a definition takes the kinds that it names.
OF_EVENTS = ("event", "conversation_event", "after_sales_event")
DIMENSION_FIELDS = tuple(known.name for known in DIMENSIONS)
Names = dict[str, None]  # a set that keeps its order


@dataclass(frozen=True)
class Lineage:
    """What a KPI reads.

    `events`: types of events, ANY if all are read. `needed`: the fields that those have to name
    for the KPI to count them. `dims`: fields beside those that are dimensions of the KPI, or
    that name an entity whose record decides one.
    `entities`: types of entities whose records decide what counts, or what a dimension is.
    """

    events: tuple[str, ...]
    needed: tuple[str, ...]
    dims: tuple[str, ...]
    entities: tuple[str, ...]


def lineage(kpi: Kpi, every: dict[str, Compiled], catalog: Catalog) -> Lineage:
    """Return what a KPI reads; a formula reads what its parts do."""
    events, needed, tables = Names(), Names(), Names()
    for part in every[kpi.kpi_id].parts:
        compiled = every[part]
        assert isinstance(compiled, CountedKpi), "a formula's parts are counted"
        events |= _events(compiled.query, catalog)
        events |= _events_of_dims(compiled, catalog)
        needed |= _needed(compiled.query, catalog)
        if compiled.entity:
            needed[NUMBERED[compiled.entity]] = None
        tables |= _tables(compiled.query, catalog)
    parents = {parent for dim in kpi.dims if (parent := DIMS[dim].parent_of)}
    staff = {"user"} if tables.keys() & {*TABLES} else set()
    wanted = tables.keys() | parents | staff
    return Lineage(
        events=(ANY,) if ANY in events else tuple(sorted(events)),
        needed=tuple(name for name in DIMENSION_FIELDS if name in needed),
        dims=tuple(
            name
            for name in dict.fromkeys((*kpi.dims, *tables))
            if name in DIMENSION_FIELDS and name not in needed
        ),
        entities=tuple(known.name for known in ENTITIES if known.name in wanted),
    )


def _events(query: exp.Expr, catalog: Catalog) -> Names:
    """Return the types of events that a SELECT takes."""
    own = _kinds_of_conditions(query)
    events = Names()
    for name in _sources(query, catalog):
        if name == "event":
            events |= own or {ANY: None}
            continue
        select = _select(catalog.facts[name])
        if name in OF_EVENTS and own:
            # Its own conditions say which; what else makes the fact is read all the same.
            events |= own
            for other in _sources(select, catalog):
                if other not in OF_EVENTS:
                    events |= _events(_select(catalog.facts[other]), catalog)
        else:
            events |= _events(select, catalog)
    return events


def _events_of_dims(compiled: CountedKpi, catalog: Catalog) -> Names:
    """Return the types of events that decide a dimension which the KPI's fact works out."""
    events = Names()
    for column in _select(catalog.facts[compiled.fact]).find_all(exp.Alias):
        if column.alias in compiled.columns and column.find(exp.Case):
            for condition in column.find_all(exp.EQ, exp.In):
                events |= _kinds(condition) or {}
    return events


def _needed(query: exp.Expr, catalog: Catalog) -> Names:
    """Return the fields that events have to name for a SELECT to take them."""
    needed = _not_null(query)
    for name in _sources(query, catalog):
        fact = catalog.facts[name]
        if fact.key in ("contact", "conversation"):
            needed[fact.key] = None
        if name != "event":
            needed |= _needed(_select(fact), catalog)
    return needed


def _tables(query: exp.Expr, catalog: Catalog) -> Names:
    """Return the tables that a SELECT and its facts read."""
    names = dict.fromkeys(table.name for table in query.find_all(exp.Table))
    for name in _sources(query, catalog):
        if name != "event":  # it looks up what every fact has: tenants, numbers
            names |= _tables(_select(catalog.facts[name]), catalog)
    return names


def _select(fact: Fact) -> exp.Expr:
    return sqlglot.parse_one(fact.select, dialect="postgres")


def _sources(query: exp.Expr, catalog: Catalog) -> Names:
    """Return the facts that a SELECT reads."""
    names = (table.name for table in query.find_all(exp.Table) if not table.db)
    return dict.fromkeys(name for name in names if name in catalog.facts)


def _conditions(query: exp.Expr) -> Iterator[exp.Expr]:
    """Give what follows each WHERE, but for those of aggregates."""
    for where in query.find_all(exp.Where):
        if not isinstance(where.parent, exp.Filter):
            yield where.this


def _kinds_of_conditions(query: exp.Expr) -> Names:
    """Return the types of events to which the conditions limit a SELECT; none: to no types."""
    limited = Names()
    for condition in _conditions(query):
        limited |= _kinds(condition) or {}
    return limited


def _kinds(condition: exp.Expr) -> Names | None:
    """Return the types of events that a condition lets through, None for all of them."""
    match condition:
        case exp.Paren():
            return _kinds(condition.this)
        case exp.And():
            left, right = _kinds(condition.left), _kinds(condition.right)
            return {**(left or {}), **(right or {})} or None
        case exp.Or():
            left, right = _kinds(condition.left), _kinds(condition.right)
            return left | right if left and right else None
        case exp.EQ() | exp.In() if condition.this.name == "kind":
            values = (value.this for value in condition.find_all(exp.Literal))
            return dict.fromkeys(value for value in values if value in TYPES) or None
    return None


def _not_null(query: exp.Expr) -> Names:
    """Return the fields of which the conditions say IS NOT NULL, but in what is joined if there."""
    optional = {join.this.name for join in query.find_all(exp.Join) if join.side == "LEFT"}
    fields = Names()
    for condition in _conditions(query):
        part = condition.find_ancestor(exp.CTE)
        if part and part.alias in optional:
            continue
        for test in condition.find_all(exp.Is):
            name = NUMBERED.get(test.this.name, test.this.name)
            if test.args.get("negate") and name in DIMENSION_FIELDS:
                fields[name] = None
    return fields
