"""Checks a KPI's definition and takes it apart: hits over one fact, or a formula over KPIs.

A hits query is a single SELECT from one fact that names the KPI's own dimensions (parents are
joined at lookup) and, where something is added up, an `amount`. A formula is a SELECT without
FROM: a quotient whose two sides add and subtract multiples of other KPIs.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import sqlglot
from sqlglot import exp

from datasource.catalog import DIMS, Catalog, DefinitionError, Kpi, refuse

ENTITIES = {"contacts": "contact_no", "conversations": "conversation_no", "users": "user_no"}
TABLES = ("staff",)  # what a hits query may look at beside its fact
COUNTINGS = {
    "count",
    "sum",
    "sessions",
    "first contacts",
    "value",
    *(f"distinct {entities}" for entities in ENTITIES),
}
CLAUSES = ("group", "order", "limit", "distinct", "having", "with_", "with")


@dataclass(frozen=True)
class Compiled:
    """What the SQL of every KPI needs, counted or made of others.

    fold: `sum`, `distinct`, `value`, `level` (a value whose months do not add up) or `ratio`;
    parts, numerators, denominators: value = Σ numerators × part, over Σ denominators × part for
    a ratio (a counted KPI is its only part); reads: the facts (`fact` or `fact:kind`) and
    records whose change makes its slices out of date.
    """

    kpi: Kpi
    fold: str
    parts: tuple[str, ...]
    numerators: tuple[Fraction, ...]
    denominators: tuple[Fraction, ...]
    reads: tuple[str, ...]


@dataclass(frozen=True)
class CountedKpi(Compiled):
    """A KPI with hits, and so with slices of its own.

    fact: the table that its hits come from; query: its SELECT; columns: an expression for each of
    its own dimensions; amount: what a hit adds (None: one); entity: the column whose different
    values a distinct count counts.
    """

    fact: str
    query: exp.Select
    columns: dict[str, exp.Expression]
    amount: exp.Expression | None
    entity: str | None

    @cached_property
    def hits_select(self) -> str:
        """The SELECT of its hits. The search path says which facts its bare names mean."""
        fact, amount = quote(self.fact), "1"
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
        if self.kpi.grain == "month":
            columns[2] = f"date_trunc('month', {fact}.day::timestamp)::date AS day"
            columns[3] = "NULL::timestamptz AS hour"
        query = self.query.copy()
        if self.entity:
            columns.append(f"{fact}.{self.entity} AS entity")
            query = query.where(f"{fact}.{self.entity} IS NOT NULL", dialect="postgres")
        if self.amount is not None:
            amount = self.amount.sql("postgres")
        columns.append(f"({amount})::numeric AS amount")
        for dim in own_dims(self.kpi):
            value, missing = self.columns[dim].sql("postgres"), literal(DIMS[dim].missing)
            columns.append(f'coalesce(({value})::text, {missing}) COLLATE "C" AS {quote(dim)}')
        return query.select(*columns, append=False, dialect="postgres").sql("postgres")


@dataclass(frozen=True)
class FormulaKpi(Compiled):
    """A quotient of sums of counted KPIs, read from their slices."""


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a string."""
    return "'" + text.replace("'", "''") + "'"


def compile_kpis(catalog: Catalog) -> dict[str, Compiled]:
    """Every KPI of a catalogue, compiled. Raises DefinitionError naming the file at fault."""
    counted = {k.kpi_id: _counted(k, catalog) for k in catalog.kpis.values() if not k.is_formula}
    return {
        kpi_id: counted.get(kpi_id) or _formula(kpi, counted)
        for kpi_id, kpi in catalog.kpis.items()
    }


def own_dims(kpi: Kpi) -> list[str]:
    """Return the dimensions that a KPI's rows carry: those of its dims that are no parents."""
    return [dim for dim in kpi.dims if DIMS[dim].parent_of is None]


def _select(kpi: Kpi) -> exp.Select:
    try:
        statements = sqlglot.parse(kpi.definition, dialect="postgres")
    except sqlglot.errors.SqlglotError as error:
        raise DefinitionError(f"{kpi.path}: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise DefinitionError(f"{kpi.path}: the definition is not a single SELECT")
    return statements[0]


def _counted(kpi: Kpi, catalog: Catalog) -> CountedKpi:
    query = _select(kpi)
    source = query.find(exp.From)
    fact = source.this.name if source and source.parent is query else ""
    columns = {column.alias_or_name: column.unalias() for column in query.expressions}
    amount, factor = columns.pop("amount", None), Fraction(1)
    if isinstance(amount, exp.Div) and isinstance(amount.expression, exp.Literal):
        # Adding whole seconds up and dividing once is exact; adding quotients is not.
        amount, factor = amount.this, 1 / Fraction(amount.expression.this)
    facts, own = ", ".join(catalog.facts), own_dims(kpi)
    tables = dict.fromkeys(table.name for table in query.find_all(exp.Table))
    unknown = ", ".join(tables.keys() - catalog.facts.keys() - {*TABLES})
    clauses = " or ".join(name.strip("_").upper() for name in CLAUSES if query.args.get(name))
    orphans = " and ".join(d for d in kpi.dims if DIMS[d].parent_of not in (None, *kpi.dims))
    refuse(
        kpi.path,
        {
            f"unknown counting “{kpi.counting}”": kpi.counting not in COUNTINGS,
            f"hits come FROM one of the facts: {facts}": fact not in catalog.facts
            or query.args.get("joins"),
            f"unknown table {unknown}": unknown,
            f"a hits query has no {clauses}": clauses,
            f"selects {sorted(columns)} but its dims need {sorted(own)}": columns.keys() != {*own},
            f"{orphans}: a parent of what is not in dims": orphans,
            "an amount is for counting sum or value, and needed there": (amount is None)
            == (kpi.counting in ("sum", "value")),
        },
    )
    how, _, who = kpi.counting.partition(" ")
    fold = "level" if kpi.is_level else how if how in ("distinct", "value") else "sum"
    kinds = [
        side.right.this
        for side in query.find_all(exp.EQ)
        if isinstance(side.left, exp.Column)
        and side.left.name == "kind"
        and isinstance(side.right, exp.Literal)
    ]
    # The rows of one kind, if it takes no others.
    rows = f"{fact}:{kinds[0]}" if len(kinds) == 1 else fact
    return CountedKpi(
        kpi=kpi,
        fold=fold,
        parts=(kpi.kpi_id,),
        numerators=(factor,),
        denominators=(Fraction(0),),
        reads=(rows, *(table for table in tables if table in TABLES)),
        fact=fact,
        query=query,
        columns=columns,
        amount=amount,
        entity=ENTITIES[who] if how == "distinct" else None,
    )


def _formula(kpi: Kpi, counted: dict[str, CountedKpi]) -> FormulaKpi:
    query = _select(kpi)
    quotient, *others = [column.unalias() for column in query.expressions] or [exp.Null()]
    refuse(
        kpi.path,
        {
            "a formula is one quotient of sums of KPIs, without FROM": query.find(exp.From)
            or others
            or not isinstance(quotient, exp.Div)
        },
    )
    above, below = _linear(quotient.this, kpi), _linear(quotient.expression, kpi)
    parts = tuple(above | below)
    for part in parts:
        is_sum = part in counted and counted[part].fold == "sum"
        refuse(
            kpi.path,
            {
                f"{part} is not a KPI that is counted or added up": not is_sum,
                f"{part} lacks a dimension": is_sum and {*kpi.dims} - {*counted[part].kpi.dims},
            },
        )
    numerators, denominators = (
        tuple(side.get(part, 0) * counted[part].numerators[0] for part in parts)
        for side in (above, below)
    )
    reads = tuple(dict.fromkeys(read for part in parts for read in counted[part].reads))
    return FormulaKpi(kpi, "ratio", parts, numerators, denominators, reads)


def _linear(side: exp.Expression, kpi: Kpi) -> dict[str, Fraction]:
    """Return a sum of multiples of KPIs as {kpi_id: factor}."""
    match side:
        case exp.Paren():
            return _linear(side.this, kpi)
        case exp.Column():
            return {side.name: Fraction(1)}
        case exp.Mul(this=exp.Literal()):
            return {
                part: Fraction(side.this.this) * factor
                for part, factor in _linear(side.expression, kpi).items()
            }
        case exp.Add() | exp.Sub():
            total, sign = _linear(side.this, kpi), 1 if isinstance(side, exp.Add) else -1
            for part, factor in _linear(side.expression, kpi).items():
                total[part] = total.get(part, Fraction(0)) + sign * factor
            return total
    raise DefinitionError(f"{kpi.path}: cannot read “{side.sql('postgres')}” in a formula")
