"""Checks a KPI's definition and takes it apart: hits over one fact, or a formula over KPIs.

A hits query is a single SELECT from one fact that names the KPI's own dimensions (parents are
joined at lookup) and, where something is added up, an `amount`. A formula is a SELECT without
FROM: a quotient whose two sides add and subtract multiples of other KPIs.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import sqlglot
from sqlglot import exp

from datasource.catalog import DIMS, Catalog, DefinitionError, Kpi

ENTITIES = {"contacts": "contact_no", "conversations": "conversation_no", "users": "user_no"}
TABLES = ("staff",)  # what a hits query may look at beside its fact
HOWS = {"count", "sum", "sessions", "first", "distinct", "value", "ratio", "score"}


@dataclass(frozen=True)
class Compiled:
    """A KPI ready to be written as SQL.

    fold: `sum`, `distinct`, `value`, `level` (a value whose months do not add up) or `ratio`; entity: the column that a distinct count counts;
    parts, numerators, denominators, per: value = Σ numerators × part / per, over Σ denominators ×
    part for a ratio; reads: the facts (`fact` or `fact:kind`) and records (`record:user`) whose
    change makes its slices out of date.
    """

    kpi: Kpi
    fold: str
    parts: tuple[str, ...]
    numerators: tuple[Fraction, ...]
    denominators: tuple[Fraction, ...]
    per: Fraction = Fraction(1)
    entity: str | None = None
    amount: exp.Expression | None = None
    columns: dict[str, exp.Expression] = field(default_factory=dict)
    query: exp.Select | None = None
    fact: str | None = None
    reads: tuple[str, ...] = ()


def compile_kpis(catalog: Catalog) -> dict[str, Compiled]:
    """Every KPI of a catalogue, compiled. Raises DefinitionError naming the file at fault."""
    plain = {k.kpi_id: _hits(k, catalog) for k in catalog.kpis.values() if not k.is_formula}
    formulas = {k.kpi_id: _formula(k, plain) for k in catalog.kpis.values() if k.is_formula}
    return {kpi_id: plain.get(kpi_id) or formulas[kpi_id] for kpi_id in catalog.kpis}


def own_dims(kpi: Kpi) -> list[str]:
    """The dimensions that a KPI's rows carry; those of its dims that are parents are not among them."""
    return [dim for dim in kpi.dims if DIMS[dim].parent_of is None]


def _select(kpi: Kpi) -> exp.Select:
    try:
        statements = sqlglot.parse(kpi.definition, dialect="postgres")
    except sqlglot.errors.SqlglotError as error:
        raise DefinitionError(f"{kpi.path}: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise DefinitionError(f"{kpi.path}: the definition is not a single SELECT")
    return statements[0]


def _hits(kpi: Kpi, catalog: Catalog) -> Compiled:
    how, _, who = kpi.counting.partition(" ")
    if how not in HOWS or (how == "distinct" and who not in ENTITIES):
        raise DefinitionError(f"{kpi.path}: unknown counting “{kpi.counting}”")
    query = _select(kpi)
    tables = [table.name for table in query.find_all(exp.Table)]
    source = query.args.get("from_") or query.args.get("from")
    fact = source.this.name if source is not None else ""
    if fact not in catalog.facts or query.args.get("joins"):
        raise DefinitionError(f"{kpi.path}: hits come FROM one of the facts: {', '.join(catalog.facts)}")
    if strangers := [t for t in tables if t not in catalog.facts and t not in TABLES]:
        raise DefinitionError(f"{kpi.path}: unknown table {strangers[0]}")
    for clause in ("group", "order", "limit", "distinct", "having", "with_", "with"):
        if query.args.get(clause):
            raise DefinitionError(f"{kpi.path}: a hits query has no {clause.strip('_').upper()}")
    columns = {column.alias_or_name: column.unalias() for column in query.expressions}
    amount = columns.pop("amount", None)
    per = Fraction(1)
    if isinstance(amount, exp.Div) and isinstance(amount.expression, exp.Literal):
        # Adding whole seconds up and dividing once is exact; adding quotients is not.
        per = Fraction(amount.expression.this)
        amount = amount.this
    if set(columns) != set(own_dims(kpi)):
        raise DefinitionError(
            f"{kpi.path}: selects {sorted(columns)} but its dims need {sorted(own_dims(kpi))}"
        )
    for dim in kpi.dims:
        parent_of = DIMS[dim].parent_of
        if parent_of and parent_of not in kpi.dims:
            raise DefinitionError(f"{kpi.path}: {dim} is the parent of {parent_of}, which is not in dims")
    if (amount is None) == (how in ("sum", "value")):
        raise DefinitionError(f"{kpi.path}: an amount is for counting sum or value, and needed there")
    return Compiled(
        kpi=kpi,
        fold="level" if kpi.is_level else how if how in ("distinct", "value") else "sum",
        parts=(kpi.kpi_id,),
        numerators=(Fraction(1),),
        denominators=(Fraction(0),),
        per=per,
        entity=ENTITIES[who] if how == "distinct" else None,
        amount=amount,
        columns=columns,
        query=query,
        fact=fact,
        reads=_reads(query, fact, tables),
    )


def _reads(query: exp.Select, fact: str, tables: list[str]) -> tuple[str, ...]:
    """`fact:kind` when the query takes one kind of that fact's rows, else `fact`; and records."""
    kinds = [
        side.right.this
        for side in query.find_all(exp.EQ)
        if isinstance(side.left, exp.Column) and side.left.name == "kind" and isinstance(side.right, exp.Literal)
    ]
    first = f"{fact}:{kinds[0]}" if len(kinds) == 1 else fact
    return (first, *(table for table in dict.fromkeys(tables) if table in TABLES))


def _formula(kpi: Kpi, plain: dict[str, Compiled]) -> Compiled:
    query = _select(kpi)
    if query.args.get("from_") or query.args.get("from") or len(query.expressions) != 1:
        raise DefinitionError(f"{kpi.path}: a {kpi.counting} is one formula without FROM")
    quotient = query.expressions[0].unalias()
    if not isinstance(quotient, exp.Div):
        raise DefinitionError(f"{kpi.path}: a {kpi.counting} divides one sum of KPIs by another")
    above, below = _linear(quotient.this, kpi), _linear(quotient.expression, kpi)
    parts = tuple(dict.fromkeys([*above, *below]))
    for part in parts:
        if part not in plain or plain[part].fold != "sum":
            raise DefinitionError(f"{kpi.path}: {part} is not a KPI that is counted or added up")
        if not set(kpi.dims) <= set(plain[part].kpi.dims):
            raise DefinitionError(f"{kpi.path}: {part} lacks a dimension of {kpi.kpi_id}")
    return Compiled(
        kpi=kpi,
        fold="ratio",
        parts=parts,
        numerators=tuple(above.get(part, Fraction(0)) / plain[part].per for part in parts),
        denominators=tuple(below.get(part, Fraction(0)) / plain[part].per for part in parts),
        reads=tuple(dict.fromkeys(read for part in parts for read in plain[part].reads)),
    )


def _linear(side: exp.Expression, kpi: Kpi) -> dict[str, Fraction]:
    """A sum of multiples of KPIs as {kpi_id: factor}."""
    if isinstance(side, exp.Paren):
        return _linear(side.this, kpi)
    if isinstance(side, exp.Column):
        return {side.name: Fraction(1)}
    if isinstance(side, (exp.Add, exp.Sub)):
        sign = 1 if isinstance(side, exp.Add) else -1
        total = _linear(side.this, kpi)
        for part, factor in _linear(side.expression, kpi).items():
            total[part] = total.get(part, Fraction(0)) + sign * factor
        return total
    if isinstance(side, exp.Mul) and isinstance(side.this, exp.Literal):
        factor = Fraction(Decimal(side.this.this))
        return {part: factor * own for part, own in _linear(side.expression, kpi).items()}
    raise DefinitionError(f"{kpi.path}: cannot read “{side.sql(dialect='postgres')}” in a formula")
