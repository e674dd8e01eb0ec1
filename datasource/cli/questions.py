"""kpi, hits and explain: the commands that ask."""

import csv
import json
import sys
from argparse import ArgumentTypeError, Namespace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from psycopg.types.json import Jsonb

from datasource.catalog import Catalog, Kpi
from datasource.cli.options import Commands, command, moment
from datasource.protocol.database import Connection
from datasource.protocol.question import question
from datasource.store.connection import connect
from datasource.store.errors import StoreError

ASK, EXPLAIN = (Path(__file__).with_name(name) for name in ("ask.sql", "explain.sql"))


def add(commands: Commands) -> None:
    """Add the commands of this module."""
    kpi = command(commands, "kpi", _ask, "one KPI in the terminal")
    hits = command(commands, "hits", _ask, "the very events behind a number")
    explain = command(commands, "explain", _explain, "a definition, its views, and a query plan")
    for parser in (kpi, hits, explain):
        parser.add_argument("id", type=_known, metavar="ID")
    words = "a date of the tenant's zone or an RFC 3339 time"
    for parser in (kpi, hits):
        parser.add_argument("--from", type=moment, required=True, help=words)
        parser.add_argument("--to", type=moment, required=True, help=f"{words}, exclusive")
        parser.add_argument("--where", action="append", metavar="DIM=VALUE")
        parser.add_argument("--granularity", choices=["day", "hour"])
        parser.add_argument("--format", choices=["table", "csv", "json"], default="table")
        parser.set_defaults(by=[], where=[], shape="total", list=None)
    hits.set_defaults(list="hits", shape=None)
    kpi.add_argument("--by", action="append", metavar="DIM", help="group by it")
    kpi.add_argument("--interval", choices=["hour", "day", "week", "month", "auto"])
    shape = kpi.add_mutually_exclusive_group()
    for name in ("series", "cumulative", "total"):
        shape.add_argument(f"--{name}", dest="shape", action="store_const", const=name)


def _known(kpi_id: str) -> Kpi:
    if kpi := Catalog.read().kpis.get(kpi_id):
        return kpi
    raise ArgumentTypeError(f"there is no KPI {kpi_id!r}; SELECT * FROM kpi.catalog lists them")


def _asked(given: Namespace) -> dict[str, Any]:
    """Return the question as /rows takes it, checked as far as that needs no database."""
    has = (*given.id.dims, "tenant")
    filters: dict[str, dict[str, Any]] = {}
    for dim, is_there, value in (text.partition("=") for text in given.where):
        if not is_there:
            raise ArgumentTypeError(f"--where takes DIM=VALUE, not {dim!r}")
        filters.setdefault(dim, {"op": "=", "values": []})["values"].append(value)
    for dim in [*filters, *given.by]:
        if dim not in has:
            raise ArgumentTypeError(f"{given.id.kpi_id} has no {dim!r}; it has {', '.join(has)}")
    asked = {**vars(given), "kpi": given.id.kpi_id, "filters": filters}
    start, end = asked["from"], asked["to"]
    if (len(start) == 10) == (len(end) == 10) and start >= end:
        raise ArgumentTypeError("--from must be before --to")
    return asked


def _settle(connection: Connection, asked: dict[str, Any]) -> ZoneInfo:
    """Make dates instants; return the time zone of the tenants that are asked about."""
    ends = {"from": asked["from"], "to": asked["to"], "filters": Jsonb(asked["filters"])}
    [(tenants, zone, viewer_zone, start, end)] = connection.execute(ASK.read_bytes(), ends)
    if tenants > 1 and "tenant" not in asked["filters"]:
        raise StoreError("there are several tenants", "name one with --where tenant=T")
    asked |= {"from": start.isoformat(), "to": end.isoformat(), "timezone": viewer_zone}
    return ZoneInfo(zone)


def _ask(given: Namespace) -> None:
    asked = _asked(given)
    found: list[dict[str, Any]] = []
    with connect() as connection:
        zone = _settle(connection, asked)
        page: list[tuple[Any, ...]] = [()]
        while page and (given.list or not found):
            read = [Jsonb(question(asked | {"offset": len(found)}))]
            connection.execute("SELECT kpi_http.used_range(%s)", read)  # refuses what is wrong
            page = connection.execute("SELECT kpi_http.rows(%s)", read).fetchall()
            found += [orjson.loads(text) for (text,) in page]
    for row in found:
        if "time" in row:
            row["time"] = datetime.fromtimestamp(row["time"] / 1000, zone).isoformat()
    columns = [column for dim in given.by for column in (dim, f"{dim}_name")]
    columns = ["time"] * (given.shape != "total") + columns + ["value"]
    _show(given.format, [*found[0]] if found else columns, found)


def _show(form: str, columns: list[str], found: list[dict[str, Any]]) -> None:
    if form == "json":
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return
    lines = [columns, *([row[column] for column in columns] for row in found)]
    if form == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
        return
    texts = [["-" if value is None else str(value) for value in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for text in texts:
        print("  ".join(map(str.ljust, text, widths)).rstrip())


def _explain(given: Namespace) -> None:
    with connect() as connection:
        [(made_of, explain)] = connection.execute(EXPLAIN.read_bytes(), [given.id.kpi_id])
        plan = [line for (line,) in connection.execute(explain)]
    text = given.id.path.read_text(encoding="utf-8")
    print(given.id.path, text, made_of, "\nplan of a total over 30 days:", *plan, sep="\n")
