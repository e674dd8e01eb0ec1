"""Compiles `views/` to SQL: the only part of the package that reads SQL (with sqlglot).

A compiled KPI becomes its hits, its slices, its public view and its row of the catalogue.
"""

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from math import lcm

from sqlglot import exp

from datasource.catalog import DIMS
from datasource.compile.definition import Compiled, compile_kpis, own_dims

__all__ = [
    "Compiled",
    "catalog_rows",
    "compile_kpis",
    "dim_lookup",
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
Slices = list[tuple[str, date, date]]


def quote(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string, quoted."""
    return "'" + text.replace("'", "''") + "'"


def measures(compiled: Compiled) -> list[str]:
    """The names of a public view's last columns."""
    if compiled.fold == "ratio":
        return ["numerator", "denominator"]
    if compiled.entity:
        return [COUNTED[compiled.entity][2]]
    return ["level" if compiled.kpi.is_level else "value"]


def hits_view(compiled: Compiled) -> str:
    """CREATE VIEW kpi_hits.<kpi_id>: what the KPI counts, a row each, dimensions spelled out."""
    assert compiled.query is not None
    fact, amount = quote(compiled.fact), "1"
    columns = [
        f"{fact}.{column}"
        for column in (
            "tenant_no",
            "at",
            "day",
            "hour",
            "day AS local_day",
            "kind",
            "id",
            "contact_no",
            "conversation_no",
        )
    ]
    if compiled.kpi.grain == "month":
        columns[2] = f"date_trunc('month', {fact}.day::timestamp)::date AS day"
        columns[3] = "NULL::timestamptz AS hour"
    query = compiled.query.copy()
    for table in [*query.find_all(exp.Table)]:
        name = table.alias_or_name
        table.replace(exp.table_(table.name, db="kpi_fact", quoted=True, alias=name))
    if compiled.entity:
        columns.append(f"{fact}.{compiled.entity} AS entity")
        query = query.where(f"{fact}.{compiled.entity} IS NOT NULL", dialect="postgres")
    if compiled.amount is not None:
        amount = compiled.amount.sql("postgres")
    columns.append(f"({amount})::numeric AS amount")
    for dim in own_dims(compiled.kpi):
        value, missing = compiled.columns[dim].sql("postgres"), literal(DIMS[dim].missing)
        columns.append(f'coalesce(({value})::text, {missing}) COLLATE "C" AS {quote(dim)}')
    select = query.select(*columns, append=False, dialect="postgres").sql("postgres")
    return f"CREATE OR REPLACE VIEW kpi_hits.{quote(compiled.kpi.kpi_id)} AS {select}"


def slice_select(compiled: Compiled, first: date, last: date) -> str:
    """The SELECT of a slice: hits of local days [first, last), folded by hour (or month)."""
    entity = ["entity"] if compiled.entity else []
    keys = ", ".join(["tenant_no", "day", "hour", *entity, *map(quote, own_dims(compiled.kpi))])
    # A month that ends a potential or a benchmark is no news.
    known = " FILTER (WHERE amount IS NOT NULL)" if compiled.fold in ("value", "level") else ""
    amount = "count(*)" if compiled.amount is None else "sum(amount)"
    counted = "" if entity else f"{amount} AS amount, "
    return f"""
        SELECT {keys}, {counted}max(at){known} AS newest
        FROM kpi_hits.{quote(compiled.kpi.kpi_id)}
        WHERE local_day >= DATE '{first}' AND local_day < DATE '{last}'
        GROUP BY {keys} ORDER BY tenant_no, day"""


def public_view(
    compiled: Compiled, every: dict[str, Compiled], slices: Mapping[str, Slices]
) -> str:
    """CREATE VIEW kpi.<kpi_id>: the slices as one, the reader's tenants only, numbers as ids."""
    kpi, joins = compiled.kpi, dict[str, None]()
    keys = ["tn.tenant AS tenant_id", f"s.day AS {kpi.grain}"]
    for dim in kpi.dims:
        expression, join = dim_lookup(dim)
        keys.append(f"{expression} AS {quote(dim)}")
        joins[join] = None
    group = "GROUP BY " + ", ".join(str(n + 1) for n in range(len(keys)))
    rows = _rows(compiled, slices)
    if compiled.fold == "ratio":
        columns = ", ".join(["tenant_no", "day", *map(quote, own_dims(kpi))])
        rows = " UNION ALL ".join(
            f"SELECT {columns}, {_times('amount', above)} AS numerator, "
            f"{_times('amount', below)} AS denominator FROM ({_rows(every[part], slices)}) AS part"
            for part, above, below in zip(
                compiled.parts, compiled.numerators, compiled.denominators, strict=True
            )
        )
        shown = ["sum(s.numerator) AS numerator", "sum(s.denominator) AS denominator"]
    elif compiled.entity:
        table, column, name = COUNTED[compiled.entity]
        keys[0], shown, group = f"DISTINCT {keys[0]}", [f"n.{column} AS {name}"], ""
        joins[f" JOIN kpi_fact.{table} AS n ON n.{compiled.entity} = s.entity"] = None
    else:
        [name] = measures(compiled)
        shown = [f"{_times('sum(s.amount)', compiled.numerators[0])} AS {name}"]
    return f"""
        CREATE OR REPLACE VIEW kpi.{quote(kpi.kpi_id)} WITH (security_barrier) AS
        SELECT {", ".join(keys + shown)}
        FROM ({rows}) AS s
        JOIN kpi_data.tenant_number AS tn ON tn.tenant_no = s.tenant_no{"".join(joins)}
        WHERE s.tenant_no = ANY ((SELECT kpi_admin.visible_tenant_numbers())::integer[]) {group}"""


def _times(value: str, factor: Fraction) -> str:
    below = f"::numeric / {factor.denominator}" if factor.denominator > 1 else ""
    return f"{value} * {factor.numerator}{below}"


def _rows(compiled: Compiled, slices: Mapping[str, Slices]) -> str:
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
        or f"{select} FROM kpi_hits.{quote(kpi.kpi_id)} WHERE false"
    )


def dim_lookup(dim: str) -> tuple[str, str]:
    """How a slice's row `s` (and tenant `tn`) gives a dimension: an expression, and a join."""
    known = DIMS[dim]
    if dim == "tenant":
        return "tn.tenant", ""
    if known.parent_of is None:
        return f"s.{quote(dim)}", ""
    child = quote(known.parent_of)
    alias = quote(f"x_{known.parent_of}")
    value = f'coalesce({alias}.{quote(dim)}::text, {literal(known.missing)}) COLLATE "C"'
    return value, (
        f" LEFT JOIN kpi_data.{child} AS {alias}"
        f" ON {alias}.tenant_no = s.tenant_no AND {alias}.id = s.{child}"
    )


def catalog_rows(every: dict[str, Compiled]) -> list[tuple[object, ...]]:
    """The rows of kpi_admin.kpi, in the order of its columns."""
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
            c.entity,
            c.kpi.distribution,
            list(c.kpi.dims),
            list(c.parts),
            *_whole(c),
            list(c.reads),
            c.kpi.definition,
        )
        for position, c in enumerate(every.values())
    ]


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
