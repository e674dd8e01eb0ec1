"""Compiles `views/` to SQL: the only part of the package that reads SQL (with sqlglot)."""

from datasource.compile.definition import Compiled, compile_kpis
from datasource.compile.statements import (
    catalog_rows,
    dim_lookup,
    hits_view,
    literal,
    public_view,
    quote,
    slice_select,
)

__all__ = [
    "Compiled",
    "catalog_rows",
    "compile_kpis",
    "dim_lookup",
    "hits_view",
    "literal",
    "public_view",
    "quote",
    "slice_select",
]
