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

from datasource.protocol.question import question
from datasource.store.connection import connect
from datasource.store.errors import StoreError

ASK, EXPLAIN = (Path(__file__).with_name(name) for name in ("ask.sql", "explain.sql"))


def _asked(given: Namespace) -> dict[str, Any]:
    """Return the question as /rows takes it, checked as far as that needs no database."""
    asked = {**vars(given), "kpi": given.id.kpi_id, "filters": {}}
    has = (*given.id.dims, "tenant")
    for dim, is_there, value in (text.partition("=") for text in given.where):
        if not is_there:
            raise ArgumentTypeError(f"--where takes DIM=VALUE, not {dim!r}")
        asked["filters"].setdefault(dim, {"op": "=", "values": []})["values"].append(value)
    for dim in [*asked["filters"], *asked["by"]]:
        if dim not in has:
            raise ArgumentTypeError(f"{given.id.kpi_id} has no {dim!r}; it has {', '.join(has)}")
    start, end = asked["from"], asked["to"]
    if asked["last"]:
        if start or end:
            raise ArgumentTypeError("--last stands in place of --from and --to")
    elif not start or not end:
        raise ArgumentTypeError("it needs --from and --to, or --last")
    elif (len(start) == 10) == (len(end) == 10) and start >= end:
        raise ArgumentTypeError("--from must be before --to")
    return asked


def ask(given: Namespace) -> None:
    """Print what /rows answers about a KPI, in whole: rows of a list come in pages."""
    asked = _asked(given)
    ends = {"from": asked["from"], "to": asked["to"], "filters": Jsonb(asked["filters"])}
    found: list[dict[str, Any]] = []
    with connect() as connection:
        [(tenants, zone, viewer_zone, start, end)] = connection.execute(ASK.read_bytes(), ends)
        if tenants > 1 and "tenant" not in asked["filters"]:
            raise StoreError("there are several tenants", "name one with --where tenant=T")
        if not asked["last"]:
            asked |= {"from": start.isoformat(), "to": end.isoformat(), "timezone": viewer_zone}
        page: list[tuple[Any, ...]] = [()]
        while page and ("list" in asked or not found):
            page = connection.execute(
                "SELECT kpi_http.rows(kpi_http.read(%s))",
                [Jsonb(question(asked | {"offset": len(found)}))],
            ).fetchall()
            found += [orjson.loads(text) for (text,) in page]
    for row in found:
        if "time" in row:
            row["time"] = datetime.fromtimestamp(row["time"] / 1000, ZoneInfo(zone)).isoformat()
    _show(given.format, [*found[0]] if found else _columns(asked), found)


def _columns(asked: dict[str, Any]) -> list[str]:
    """Return the columns of an answer without rows."""
    columns = [] if asked.get("shape") == "total" else ["time"]
    for dim in asked["by"]:
        columns += [dim, f"{dim}_name"]
    return [*columns, "value"]


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


def explain(given: Namespace) -> None:
    """Print a definition, its views, and a query plan."""
    with connect() as connection:
        [(made_of, explain)] = connection.execute(EXPLAIN.read_bytes(), [given.id.kpi_id])
        plan = [line for (line,) in connection.execute(explain)]
    text = given.id.path.read_text(encoding="utf-8")
    print(given.id.path, text, made_of, "\nplan of a total over 30 days:", *plan, sep="\n")
