"""Compiles `views/` to SQL: the only part of the package that reads SQL (with sqlglot).

A compiled KPI becomes its hits, its slices, its public view and its row of the catalogue.
"""

import json
from collections.abc import Callable, Mapping
from datetime import date
from fractions import Fraction
from hashlib import md5
from math import lcm

from datasource.catalog import DIMS, Catalog, Fact
from datasource.compile.definition import (
    Compiled,
    CountedKpi,
    FormulaKpi,
    compile_kpis,
    literal,
    own_dims,
    quote,
)

__all__ = [
    "CATALOG_COLUMNS",
    "Compiled",
    "CountedKpi",
    "FormulaKpi",
    "catalog_rows",
    "compile_kpis",
    "dim_lookup",
    "forms",
    "hits_view",
    "literal",
    "measures",
    "public_view",
    "quote",
    "slice_select",
]

# Where the ids stand that a distinct count's numbers mean: table, column, its name in the view.
COUNTED = {
    "contact_no": ("contact", "contact", "contact"),
    "conversation_no": ("conversation", "conversation", "conversation"),
    "user_no": ("staff", '"user"', "user_id"),
}
# The columns of kpi_admin.kpi that a definition fills.
CATALOG_COLUMNS = (
    "kpi_id, position, family, title, description, title_nl, description_nl, unit, counting, "
    "source, fold, grain, entity, distribution, dims, parts, numerators, denominators, per, reads, "
    "definition, form"
)
Slices = list[tuple[str, date, date]]
# The names by which texts made here call a slice's row, its tenant's row of kpi_data.tenant_number
# and, in the planner, the asked range of its tenant. kpi_admin.dim keeps such texts, and
# views/schema/50_planner.sql, 60_public.sql and 72_lists.sql paste them into statements of theirs,
# so these must call the same things by the same names.
SLICE_ROW, TENANT_ROW, RANGE_ROW = "s", "tn", "r"
VISIBLE = "= ANY ((SELECT kpi_admin.visible_tenant_numbers())::integer[])"


def measures(compiled: Compiled) -> list[str]:
    """Return the names of a public view's last columns."""
    if not isinstance(compiled, CountedKpi):
        return ["numerator", "denominator"]
    if compiled.entity:
        return [COUNTED[compiled.entity][2]]
    return ["level" if compiled.kpi.is_level else "value"]


def hits_view(compiled: CountedKpi, schema: str = "kpi_hits") -> str:
    """CREATE VIEW <schema>.<kpi_id>: what the KPI counts, a row each, dimensions spelled out."""
    return f"CREATE VIEW {schema}.{quote(compiled.kpi.kpi_id)} AS {compiled.hits_select}"


def slice_select(compiled: CountedKpi, first: date, last: date, schema: str = "kpi_hits") -> str:
    """Return the SELECT of a slice: hits of local days [first, last), folded by hour (or month).

    `schema` is where the KPI's view of hits is.
    """
    entity = ["entity"] if compiled.entity else []
    keys = ", ".join(["tenant_no", "day", "hour", *entity, *map(quote, own_dims(compiled.kpi))])
    # A month that ends a potential or a benchmark is no news.
    known = " FILTER (WHERE amount IS NOT NULL)" if compiled.fold in ("value", "level") else ""
    amount = "count(*)" if compiled.amount is None else "sum(amount)"
    counted = "" if entity else f"{amount} AS amount, "
    return f"""
        SELECT {keys}, {counted}max(at){known} AS newest
        FROM {schema}.{quote(compiled.kpi.kpi_id)}
        WHERE local_day >= DATE '{first}' AND local_day < DATE '{last}'
        GROUP BY {keys} ORDER BY tenant_no, day"""


def public_view(
    compiled: Compiled, every: dict[str, Compiled], slices: Mapping[str, Slices]
) -> str:
    """CREATE VIEW kpi.<kpi_id>: the slices as one, the reader's tenants only, numbers as ids.

    EXPLAIN ANALYZE tells how many rows of a table have an id, and would so tell that others have
    it. So the tables of ids are cut down to the reader's tenants too, that of tenants behind an
    OFFSET, past which no condition gets.
    """
    kpi, joins = compiled.kpi, dict[str, None]()
    keys = [f"{TENANT_ROW}.tenant AS tenant_id", f"{SLICE_ROW}.day AS {kpi.grain}"]
    for dim in kpi.dims:
        expression, join = dim_lookup(dim)
        keys.append(f"{expression} AS {quote(dim)}")
        joins[join] = None
    group = "GROUP BY " + ", ".join(str(n + 1) for n in range(len(keys)))
    if not isinstance(compiled, CountedKpi):
        columns = ", ".join(["tenant_no", "day", *map(quote, own_dims(kpi))])
        rows = " UNION ALL ".join(
            f"SELECT {columns}, {_times('amount', above)} AS numerator, "
            f"{_times('amount', below)} AS denominator "
            f"FROM ({_part_rows(every[part], slices)}) AS part"
            for part, above, below in zip(
                compiled.parts, compiled.numerators, compiled.denominators, strict=True
            )
        )
        shown = [f"sum({SLICE_ROW}.{side}) AS {side}" for side in measures(compiled)]
    elif compiled.entity:
        rows = _part_rows(compiled, slices)
        table, column, name = COUNTED[compiled.entity]
        keys[0], shown, group = f"DISTINCT {keys[0]}", [f"n.{column} AS {name}"], ""
        join = f" JOIN kpi_fact.{table} AS n ON n.{compiled.entity} = {SLICE_ROW}.entity"
        joins[f"{join} AND n.tenant_no {VISIBLE}"] = None
    else:
        rows = _part_rows(compiled, slices)
        [name] = measures(compiled)
        total = _times(f"sum({SLICE_ROW}.amount)", compiled.numerators[0])
        shown = [f"{total} AS {name}"]
    return f"""
        CREATE OR REPLACE VIEW kpi.{quote(kpi.kpi_id)} WITH (security_barrier) AS
        SELECT {", ".join(keys + shown)}
        FROM ({rows}) AS {SLICE_ROW}
        JOIN (
            SELECT t.tenant_no, t.tenant FROM kpi_data.tenant_number AS t
            WHERE t.tenant_no {VISIBLE} OFFSET 0
        ) AS {TENANT_ROW} ON {TENANT_ROW}.tenant_no = {SLICE_ROW}.tenant_no{"".join(joins)}
        WHERE {SLICE_ROW}.tenant_no {VISIBLE}
        {group}"""


def _times(value: str, factor: Fraction) -> str:
    below = f"::numeric / {factor.denominator}" if factor.denominator > 1 else ""
    return f"{value} * {factor.numerator}{below}"


def _part_rows(compiled: Compiled, slices: Mapping[str, Slices]) -> str:
    assert isinstance(compiled, CountedKpi), "a formula is made of counted KPIs"
    kpi = compiled.kpi
    if compiled.fold in ("value", "level"):
        return (
            "SELECT tenant_no, month AS day, value AS amount "
            f"FROM kpi_admin.month_values({literal(kpi.kpi_id)})"
        )
    measure = "entity" if compiled.entity else "amount"
    select = f"SELECT {', '.join(['tenant_no', 'day', *map(quote, own_dims(kpi)), measure])}"
    # The bounds repeat what a slice holds, so that the planner leaves out those a query cannot
    # need. Before the first refresh: the right columns and no rows.
    return (
        " UNION ALL ".join(
            f"{select} FROM kpi_slice.{quote(relation)} "
            f"WHERE day >= DATE '{first}' AND day < DATE '{last}'"
            for relation, first, last in slices.get(kpi.kpi_id, [])
        )
        or f"SELECT {', '.join(_nothing(compiled))} WHERE false"
    )


def _nothing(compiled: CountedKpi) -> list[str]:
    """Return the columns of a KPI's slices, of the right types, with nulls in them."""
    dims = (f'NULL::text COLLATE "C" AS {quote(dim)}' for dim in own_dims(compiled.kpi))
    measure = "NULL::integer AS entity" if compiled.entity else "NULL::numeric AS amount"
    return ["NULL::integer AS tenant_no", "NULL::date AS day", *dims, measure]


def dim_lookup(dim: str) -> tuple[str, str]:
    """How SLICE_ROW and RANGE_ROW give a dimension: an expression, and the join it needs."""
    known = DIMS[dim]
    if dim == "tenant":
        return f"{RANGE_ROW}.tenant", ""
    if known.parent_of is None:
        return f"{SLICE_ROW}.{quote(dim)}", ""
    child = quote(known.parent_of)
    alias = quote(f"x_{known.parent_of}")
    value = f'coalesce({alias}.{quote(dim)}::text, {literal(known.missing)}) COLLATE "C"'
    return value, (
        f" LEFT JOIN kpi_data.{child} AS {alias}"
        f" ON {alias}.tenant_no = {SLICE_ROW}.tenant_no AND {alias}.id = {SLICE_ROW}.{child}"
    )


def catalog_rows(catalog: Catalog, every: dict[str, Compiled]) -> list[tuple[object, ...]]:
    """Return the rows of kpi_admin.kpi, in the order of CATALOG_COLUMNS."""
    form = forms(every, catalog.facts)
    return [
        (
            c.kpi.kpi_id,
            position,
            c.kpi.family,
            *c.kpi.words["en"],
            *c.kpi.words["nl"],
            c.kpi.unit,
            c.kpi.counting,
            c.kpi.source,
            c.fold,
            c.kpi.grain,
            c.entity if isinstance(c, CountedKpi) else None,
            c.kpi.distribution,
            list(c.kpi.dims),
            list(c.parts),
            *_whole(c),
            list(c.reads),
            c.kpi.definition,
            form[c.kpi.kpi_id],
        )
        for position, c in enumerate(every.values())
    ]


def forms(every: Mapping[str, Compiled], facts: Mapping[str, Fact]) -> dict[str, str]:
    """Return a fingerprint of each KPI's form.

    While it stays the same, slices, views and lookups made from an earlier definition can be used
    with the present one; titles and other words are no part of it.
    """
    found: dict[str, str] = {}

    def form(kpi_id: str) -> str:
        if kpi_id not in found:
            made = json.dumps(_made_from(every[kpi_id], facts, form))
            found[kpi_id] = md5(made.encode(), usedforsecurity=False).hexdigest()
        return found[kpi_id]

    return {kpi_id: form(kpi_id) for kpi_id in every}


def _made_from(
    compiled: Compiled, facts: Mapping[str, Fact], form: Callable[[str], str]
) -> list[object]:
    """Everything that a KPI's slices, views and lookups are made from, as JSON takes it."""
    made: list[object] = [compiled.fold, compiled.kpi.grain, compiled.kpi.counting]
    made += map(str, (*compiled.numerators, *compiled.denominators))
    made += [[dim, *dim_lookup(dim)] for dim in compiled.kpi.dims]
    if isinstance(compiled, CountedKpi):
        made += [hits_view(compiled), slice_select(compiled, date.min, date.max)]
        made += [compiled.entity, facts[compiled.fact].select]
    else:
        made += [[part, form(part)] for part in compiled.parts]
    return made


def _whole(c: Compiled) -> tuple[list[int], list[int], int]:
    """Numerators, denominators and per as whole numbers: exact in SQL's numeric.

    numerator / per is the value of a sum; in a ratio what both sides are divided by cancels out.
    """
    common = lcm(*(factor.denominator for factor in (*c.numerators, *c.denominators)))
    return (
        [int(n * common) for n in c.numerators],
        [int(d * common) for d in c.denominators],
        1 if c.fold == "ratio" else common,
    )
