"""GET /export/<kpi_id>.csv: the rows of POST /rows as a file for spreadsheets."""

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from psycopg.types.json import Jsonb
from werkzeug.datastructures import MultiDict

from datasource.protocol.answers import texts, used_range
from datasource.protocol.database import Connection, fetch
from datasource.protocol.question import EPOCH, bad, question

SINGLE = ("from", "to", "shape", "timezone", "interval", "granularity", "compare")
LISTS = ("by", "where", "segment")  # parameters that may be repeated
is_formula = re.compile(r"\s*[=+\-@\t\r]").match


def export(
    connection: Connection, name: str, args: MultiDict[str, str]
) -> tuple[Iterator[str], dict[str, str]]:
    """Return the lines of a KPI's file, or of the list nps_answers, and the headers with them."""
    filters: dict[str, list[str]] = {}
    segment = [f"segment={value}" for value in args.getlist("segment") if name == "nps_answers"]
    for condition in args.getlist("where") + segment:
        dim, sign, value = condition.partition("=")
        if not sign:
            raise bad("where", "dim=value")
        filters.setdefault(dim, []).append(value)
    fields = {one: args[one] for one in SINGLE if args.get(one)}
    what = {"list" if name == "nps_answers" else "kpi": name, "by": args.getlist("by")}
    asked = question({**fields, **what, "filters": filters})
    [(zone, *days)] = fetch(connection, "SELECT * FROM kpi_http.last_days(%s)", Jsonb(asked))
    asked["starts"], asked["ends"] = asked["starts"] or days[0], asked["ends"] or days[1]
    headers = used_range(connection, asked)
    columns = texts(connection, "SELECT kpi_http.column_names(%s)", asked)
    rows = texts(connection, "SELECT kpi_http.rows(%s)", asked)
    headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return lines(columns, map(orjson.loads, rows), zone), headers


def lines(columns: list[str], rows: Iterable[dict[str, Any]], zone: str) -> Iterator[str]:
    """Give the lines of a CSV file (RFC 4180), times as RFC 3339 in a time zone."""
    local = ZoneInfo(zone)
    writer = csv.writer(SimpleNamespace(write=str))
    yield writer.writerow(columns)
    for row in rows:
        if "time" in row:
            row["time"] = (
                (EPOCH + timedelta(milliseconds=row["time"])).astimezone(local).isoformat()
            )
        yield writer.writerow([harmless(row[name]) for name in columns])


def harmless(cell: object) -> object:
    """Return a cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if isinstance(cell, str) and is_formula(cell) else cell
