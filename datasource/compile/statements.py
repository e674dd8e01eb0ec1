"""The SQL that a compiled KPI becomes: its hits, its slices, its public view, its catalogue row."""

from datetime import date
from fractions import Fraction

from sqlglot import exp

from datasource.catalog import DIMS
from datasource.compile.definition import Compiled, own_dims

MEASURES = {"contact_no": "contact", "conversation_no": "conversation", "user_no": "user_id"}


def quote(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string, quoted."""
    return "'" + text.replace("'", "''") + "'"


def hits_view(compiled: Compiled) -> str:
    """CREATE VIEW kpi_hits.<kpi_id>: what the KPI counts, a row each, dimensions spelled out."""
    assert compiled.query is not None and compiled.fact is not None
    query = compiled.query.copy()
    for table in query.find_all(exp.Table):
        table.set("db", exp.to_identifier("kpi_fact"))
        table.set("this", exp.to_identifier(table.name, quoted=True))
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.args["this"].name, quoted=True)))
    fact = quote(compiled.fact)
    month = compiled.kpi.grain == "month"
    day = f"date_trunc('month', {fact}.day::timestamp)::date" if month else f"{fact}.day"
    columns = [
        f"{fact}.tenant_no",
        f"{fact}.at",
        f"{day} AS day",
        "NULL::timestamptz AS hour" if month else f"{fact}.hour",
        f"{fact}.day AS local_day",
        f"{fact}.kind",
        f"{fact}.id",
        f"{fact}.contact_no",
        f"{fact}.conversation_no",
    ]
    if compiled.entity:
        columns.append(f"{fact}.{compiled.entity} AS entity")
        query = query.where(f"{fact}.{compiled.entity} IS NOT NULL", dialect="postgres")
    amount = compiled.amount.sql(dialect="postgres") if compiled.amount is not None else "1"
    columns.append(f"({amount})::numeric AS amount")
    for dim in own_dims(compiled.kpi):
        value = compiled.columns[dim].sql(dialect="postgres")
        columns.append(f'coalesce(({value})::text, {literal(DIMS[dim].missing)}) COLLATE "C" AS {quote(dim)}')
    rest = query.select(exp.Null(), append=False).sql(dialect="postgres")
    body = rest.partition("SELECT NULL ")[2]
    return (
        f"CREATE OR REPLACE VIEW kpi_hits.{quote(compiled.kpi.kpi_id)} AS\nSELECT "
        + ",\n    ".join(columns)
        + f"\n{body}"
    )


def slice_select(compiled: Compiled, first: date, last: date) -> str:
    """The SELECT of a slice: the KPI's hits of local days [first, last), folded by hour (or month)."""
    keys = ["tenant_no", "day", "hour"] + (["entity"] if compiled.entity else [])
    keys += [quote(dim) for dim in own_dims(compiled.kpi)]
    # A month that ends a potential or a benchmark is no news.
    known = " FILTER (WHERE amount IS NOT NULL)" if compiled.fold in ("value", "level") else ""
    measures = [f"max(at){known} AS newest"]
    if not compiled.entity:
        measures.insert(0, "sum(amount) AS amount" if compiled.amount is not None else "count(*) AS amount")
    return (
        f"SELECT {', '.join(keys + measures)} FROM kpi_hits.{quote(compiled.kpi.kpi_id)} "
        f"WHERE local_day >= DATE '{first}' AND local_day < DATE '{last}' "
        f"GROUP BY {', '.join(keys)} ORDER BY tenant_no, day"
    )


def number(value: Fraction) -> str:
    """A fraction as a numeric expression."""
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}::numeric / {value.denominator}"


def public_view(compiled: Compiled, every: dict[str, Compiled], slices: dict[str, list[tuple[str, date, date]]]) -> str:
    """CREATE VIEW kpi.<kpi_id>: the slices as one, the reader's tenants only, numbers as their ids."""
    kpi = compiled.kpi
    day = "month" if kpi.grain == "month" else "day"
    lookups = {dim: dim_lookup(dim) for dim in kpi.dims}
    dims = [f"{expression} AS {quote(dim)}" for dim, (expression, _) in lookups.items()]
    joins = "".join(dict.fromkeys(join for _, join in lookups.values()))
    if compiled.fold == "ratio":
        rows = " UNION ALL ".join(
            f"SELECT tenant_no, day, {', '.join([*map(quote, own_dims(kpi)), ''])}"
            f"amount * ({number(above)}) AS numerator, amount * ({number(below)}) AS denominator "
            f"FROM ({_rows(every[part], slices.get(part, []))}) AS part"
            for part, above, below in zip(compiled.parts, compiled.numerators, compiled.denominators, strict=True)
        )
        measures = ["sum(s.numerator) AS numerator", "sum(s.denominator) AS denominator"]
    elif compiled.entity:
        rows = _rows(compiled, slices.get(kpi.kpi_id, []))
        number_table, name = {
            "contact_no": ("contact", "contact"),
            "conversation_no": ("conversation", "conversation"),
            "user_no": ("staff", '"user"'),
        }[compiled.entity]
        measures = [f"n.{name} AS {MEASURES[compiled.entity]}"]
        joins += f" JOIN kpi_fact.{number_table} AS n ON n.{compiled.entity} = s.entity"
    else:
        rows = _rows(compiled, slices.get(kpi.kpi_id, []))
        per = "" if compiled.per == 1 else f" / {number(compiled.per)}"
        name = "level" if kpi.is_level else "value"
        measures = [f"sum(s.amount){per} AS {name}"]
    keys = ["tn.tenant AS tenant_id", f"s.day AS {day}", *dims]
    select = "SELECT DISTINCT" if compiled.entity else "SELECT"
    group = "" if compiled.entity else " GROUP BY " + ", ".join(str(i + 1) for i in range(len(keys)))
    return (
        f"CREATE OR REPLACE VIEW kpi.{quote(kpi.kpi_id)} WITH (security_barrier) AS "
        f"{select} {', '.join(keys + measures)} FROM ({rows}) AS s "
        f"JOIN kpi_data.tenant_number AS tn ON tn.tenant_no = s.tenant_no{joins} "
        f"WHERE s.tenant_no = ANY ((SELECT kpi_admin.visible_tenant_numbers())::integer[]){group}"
    )


def _rows(compiled: Compiled, slices: list[tuple[str, date, date]]) -> str:
    measure = "entity" if compiled.entity else "amount"
    columns = ", ".join(["tenant_no", "day", *map(quote, own_dims(compiled.kpi)), measure])
    if compiled.fold in ("value", "level"):
        return f"SELECT tenant_no, month AS day, value AS amount FROM kpi_admin.month_values({literal(compiled.kpi.kpi_id)})"
    if not slices:
        # Before the first refresh: the right columns and no rows.
        empty = f"SELECT {columns} FROM kpi_hits.{quote(compiled.kpi.kpi_id)} WHERE false"
        return empty
    # The bounds repeat what a slice holds, so that the planner leaves out those a query cannot need.
    return " UNION ALL ".join(
        f"SELECT {columns} FROM kpi_slice.{quote(relation)} WHERE day >= DATE '{first}' AND day < DATE '{last}'"
        for relation, first, last in slices
    )


def dim_lookup(dim: str) -> tuple[str, str]:
    """How a dimension is had from a slice's row `s` (and tenant `tn`): an expression, and a join."""
    known = DIMS[dim]
    if dim == "tenant":
        return "tn.tenant", ""
    if known.parent_of is None:
        return f"s.{quote(dim)}", ""
    alias = quote(f"x_{known.parent_of}")
    expression = f'coalesce({alias}.{quote(known.field or dim)}::text, {literal(known.missing)}) COLLATE "C"'
    join = (
        f" LEFT JOIN kpi_data.{quote(known.parent_of)} AS {alias}"
        f" ON {alias}.tenant_no = s.tenant_no AND {alias}.id = s.{quote(known.parent_of)}"
    )
    return expression, join


def catalog_rows(every: dict[str, Compiled]) -> list[tuple[object, ...]]:
    """The rows of kpi_admin.kpi, in the order of its columns."""
    rows: list[tuple[object, ...]] = []
    for position, c in enumerate(every.values()):
        kpi = c.kpi
        rows.append(
            (
                kpi.kpi_id, position, kpi.family, *kpi.words["en"], *kpi.words["nl"], kpi.unit, kpi.counting,
                kpi.source, c.fold, kpi.grain, c.entity, kpi.distribution, list(kpi.dims), list(c.parts),
                *_common(c), list(c.reads), kpi.definition,
            )
        )  # fmt: skip
    return rows


def _common(c: Compiled) -> tuple[list[int], list[int], int]:
    """Numerators, denominators and per as whole numbers: exact in SQL's numeric.

    numerator / per is the value of a sum; a ratio's two sides share `per`, so it cancels there.
    """
    factors = [*c.numerators, *c.denominators, 1 / c.per]
    common = 1
    for factor in factors:
        common = common * factor.denominator // _gcd(common, factor.denominator)
    if c.fold == "ratio":
        return [int(n * common) for n in c.numerators], [int(d * common) for d in c.denominators], 1
    per = c.per
    assert per.denominator == 1
    return [int(n) for n in c.numerators], [int(d) for d in c.denominators], int(per)


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a
