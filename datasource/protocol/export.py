"""GET /export/<kpi_id>.csv: the rows of POST /rows as a file for spreadsheets."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import chain, islice
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from psycopg.types.json import Jsonb
from werkzeug.datastructures import MultiDict

from datasource.catalog import LISTS
from datasource.protocol.answers import Asker
from datasource.protocol.cache import Answer
from datasource.protocol.question import EPOCH, bad, check_names, question

# The parameters: fields of a question, `bom`, and those that may be repeated.
SINGLE = (
    *("from", "to", "last", "shape", "timezone", "interval", "granularity", "compare"),
    "all_groups",
)
REPEATED = ("by", "where", "segment")
TRUTHS = {"true": True, "1": True, "false": False, "0": False}
DEFAULT_LAST = "30 days"
BYTE_ORDER_MARK = "\ufeff"  # by which Excel sees that a file is UTF-8
# Columns that are milliseconds since 1970.
TIMES = {"time"}.union(*(known.times for known in LISTS.values()))
is_formula = re.compile(r"\s*[=+\-@\t\r]").match
# Where lists are separated by semicolons, Excel begins a cell at one within a text, and a row at a
# line break. What begins with a sign, such as a smiley or a bullet, does harm by a call only.
INNER_FORMULA = re.compile(r"([;\r\n][^\S\r\n]*+)(?=[=@]|[+\-][^;\r\n]*[(!|])")


def export(
    asker: Asker, name: str, args: MultiDict[str, str]
) -> tuple[Iterator[str], dict[str, str], Callable[[], None]]:
    """Return the lines of the file of a KPI or of a list, its headers, and its end.

    The end is to be called when no more lines will be taken: it gives the connection back.

    The rows come a batch at a time, however many they are; the first before this returns, so
    that what is refused is refused with its status.
    """
    check_names(args, (*SINGLE, "bom", *REPEATED, *(["kpi"] if name in LISTS else [])))
    asked = question(_fields(name, args))
    statement = "SELECT * FROM kpi_http.export(%s, %s)"
    [(zone, starts, ends, first_day, last_day, columns)] = asker.database.fetch(
        statement, asker.token, Jsonb(asked)
    )
    statement = "SELECT kpi_http.export_rows(%s, %s)"
    rows = asker.database.download(asker.token, statement, Jsonb(asked))
    first = list(islice(rows, 1))
    headers = Answer(starts, ends, "").headers
    file = f"{name}_{first_day}_{last_day}.csv"
    headers["Content-Disposition"] = f'attachment; filename="{file}"'
    texts: Iterable[dict[str, Any]] = (orjson.loads(text) for (text,) in chain(first, rows))
    mark = [BYTE_ORDER_MARK] if _truth(args, "bom") else []
    return chain(mark, lines(columns, texts, zone)), headers, rows.close


def _fields(name: str, args: MultiDict[str, str]) -> dict[str, Any]:
    """Return the question that a file's parameters ask, by default over the last 30 days."""
    fields: dict[str, Any] = {one: args[one] for one in SINGLE if args.get(one)}
    if "all_groups" in fields:
        fields["all_groups"] = _truth(args, "all_groups")
    if not fields.keys() & {"from", "to", "last"}:
        fields["last"] = DEFAULT_LAST
    conditions = [condition.partition("=") for condition in args.getlist("where")]
    if name in LISTS and "segment" in LISTS[name].dims:
        conditions += [("segment", "=", segment) for segment in args.getlist("segment")]
    filters: dict[str, list[str]] = {}
    for dim, sign, value in conditions:
        if not sign:
            raise bad("where", "dim=value")
        filters.setdefault(dim, []).append(value)
    what = {"list": name, "kpi": args.get("kpi")} if name in LISTS else {"kpi": name}
    return {**fields, **what, "by": args.getlist("by"), "filters": filters}


def _truth(args: MultiDict[str, str], name: str) -> bool:
    """Return a parameter that is true or false; false when it is left out."""
    value = args.get(name) or "false"
    if value not in TRUTHS:
        raise bad(name, "true or false")
    return TRUTHS[value]


def lines(columns: list[str], rows: Iterable[dict[str, Any]], zone: str) -> Iterator[str]:
    """Give the lines of a CSV file (RFC 4180), times as RFC 3339 in a time zone."""
    local = ZoneInfo(zone)
    writer = csv.writer(SimpleNamespace(write=str))
    yield writer.writerow(columns)
    for row in rows:
        for name in TIMES & row.keys():
            if row[name] is not None:
                moment = EPOCH + timedelta(milliseconds=row[name])
                row[name] = moment.astimezone(local).isoformat()
        yield writer.writerow([harmless(row.get(name)) for name in columns])


def harmless(cell: object) -> object:
    """Return a cell that no spreadsheet runs as a formula, nor a part of it."""
    if not isinstance(cell, str):
        return cell
    cell = INNER_FORMULA.sub(r"\1'", cell)
    return f"'{cell}" if is_formula(cell) else cell
