"""Asks the product what the oracle is asked, and compares the two answers.

An answer here has the oracle's form: rows of dims, value and previous for a total, groups of
points for a series, cells for a distribution; values are numbers, instants UTC texts.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from datasource.catalog import Catalog
from datasource.protocol import tokens
from datasource.protocol.app import create_app
from datasource.store.connection import connect
from datasource.store.load import load
from datasource.store.migrate import init
from datasource.store.refresh import refresh
from tests.conftest import Databases

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CATALOG = Catalog.read()
#: The range of a dashboard whose question does not use it.
NO_RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


def load_records(
    connection: psycopg.Connection[Any], records: Iterable[dict[str, Any]], folder: Path
) -> None:
    """Loads records as `chatkpi load` does, and sees that none is set aside."""
    path = folder / "records.ndjson"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    said: list[str] = []
    counts = load(connection, [path], err=said.append)
    assert counts.set_aside == 0, said


def installed(
    database: Databases,
    records: Iterable[dict[str, Any]],
    folder: Path,
    now: str,
    catalog: Catalog = CATALOG,
) -> tuple[str, psycopg.Connection[Any]]:
    """A database with the product in it and some records loaded and refreshed: its URL, a connection."""
    if catalog is CATALOG:
        connection = connect(url := database.installed(), autocommit=True)
    else:
        connection = connect(url := database.new_database(), autocommit=True)
        init(connection, catalog)
    load_records(connection, records, folder)
    refresh(connection, catalog)
    connection.execute("SELECT set_config('kpi.now', %s, false)", [now])
    return url, connection


def sql_can_ask(question: dict[str, Any]) -> bool:
    """Whether a question has a form among the SQL functions: a field that they lack is none's."""
    known = {"kpi", "shape", "from", "to", "filters", "by", "tenant", "tenants"}
    if question.get("shape") != "distribution":
        known |= {"interval", "granularity"}
    return all(name in known for name, value in question.items() if value)


def moment(text: Any) -> datetime | date | str:
    """A question's time as one of the types that SQL functions take.

    Milliseconds are a timestamptz, RFC 3339 is a text, and dates are both by turns.
    """
    text = str(text)
    if text.isdigit():
        return EPOCH + timedelta(milliseconds=int(text))
    if "T" not in text and text.endswith(("1", "3", "5", "7", "9")):
        return date.fromisoformat(text)
    return text


def ask_sql(
    connection: psycopg.Connection[Any], question: dict[str, Any]
) -> list[dict[str, Any]] | str:
    """The answer of kpi.total, kpi.series or kpi.distribution, or `error` when it is refused."""
    filters: list[Any] = [question.get("filters") or {}]
    if question.get("tenant"):
        filters.append({"tenant": {"op": "=", "values": [question["tenant"]]}})
    if question.get("tenants") is not None:
        filters.append({"tenant": {"op": "=", "values": question["tenants"]}})
    by = list(dict.fromkeys(question.get("by") or []))
    shape = question.get("shape", "series").replace("table", "series")
    given: dict[str, Any] = {
        "kpi_id": question["kpi"],
        "from": moment(question["from"]),
        "to": moment(question["to"]),
        "filters": Jsonb(filters),
    }
    if given["from"].__class__ != given["to"].__class__:
        given["from"], given["to"] = str(given["from"]), str(given["to"])
    if shape != "distribution":
        given |= {"by": by, "granularity": question.get("granularity")}
    if shape in ("series", "cumulative"):
        given |= {"bucket": question.get("interval"), "cumulative": shape == "cumulative"}
    function = "kpi.series" if shape == "cumulative" else f"kpi.{shape}"
    named = ", ".join(f'"{name}" => %s' for name in given)
    try:
        with connection.transaction():
            rows = connection.execute(
                f"SELECT * FROM {function}({named})", [*given.values()]
            ).fetchall()
    except psycopg.Error as error:
        assert (error.sqlstate or "").startswith("KP"), error
        return "error"
    assert not [row for row in rows if has_trailing_zeros(row[-1])], (question, rows)
    if shape == "distribution":
        return [{"weekday": day, "hour": hour, "value": value} for day, hour, value in rows]
    if shape == "total":
        return grouped([(None, dims, value, None) for dims, value in rows], shape, "")
    return grouped([(at, dims, value, None) for at, dims, value in rows], shape, "")


def has_trailing_zeros(value: Any) -> bool:
    """Whether a number is spelled with zeros that say nothing."""
    return "." in str(value) and str(value).endswith("0")


def grouped(
    rows: Sequence[tuple[Any, dict[str, str], Any, Any]], shape: str, compare: str
) -> list[dict[str, Any]]:
    """Rows (time, dims, value, what it is compared with) in the oracle's form."""
    if shape == "total":
        return [
            {"dims": dims, "value": value} | ({compare: earlier} if compare else {})
            for _, dims, value, earlier in rows
        ]
    groups: dict[str, dict[str, Any]] = {}
    for at, dims, value, earlier in rows:
        group = groups.setdefault(json.dumps(dims), {"dims": dims, "points": []})
        group["points"].append([instant(at), value])
        if compare:
            group.setdefault(compare, []).append([instant(at), earlier])
    return list(groups.values())


def instant(at: Any) -> str:
    """An instant as the oracle writes it."""
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return str(at.astimezone(UTC).isoformat()).replace("+00:00", "Z")


def normal(answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An answer's rows in one order and spelling; a series without points is no series."""
    rows = []
    for row in answer:
        row = {"dims": {}, **row}
        for name in ("points", "previous", "usual"):
            if isinstance(row.get(name), list):
                row[name] = [[instant(at), value] for at, value in row[name]]
        if row.get("points") != []:
            rows.append(row)
    return sorted(
        rows,
        key=lambda row: (
            json.dumps(row["dims"], sort_keys=True),
            str(row.get("weekday")),
            str(row.get("hour")),
        ),
    )


def same(got: Any, wanted: Any) -> bool:
    """Whether two answers are equal, numbers but for a double's last digits."""
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(same, got, wanted))
    if isinstance(wanted, dict):
        return (
            isinstance(got, dict)
            and got.keys() == wanted.keys()
            and all(same(got[k], wanted[k]) for k in wanted)
        )
    if wanted is None or got is None or isinstance(wanted, str) or isinstance(got, str):
        return bool(got == wanted)
    return bool(abs(float(got) - float(wanted)) <= 1e-9 * max(1.0, abs(float(wanted))))


def agrees(got: list[dict[str, Any]] | str, wanted: list[dict[str, Any]] | str) -> bool:
    """Whether the product's answer is the oracle's; `error` agrees with `error` only."""
    if isinstance(got, str) or isinstance(wanted, str):
        return got == wanted
    return same(normal(got), normal(wanted))


class Http:
    """The product's server, asked with a token of the question's tenants."""

    def __init__(
        self,
        url: str,
        connection: psycopg.Connection[Any],
        now: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("CHATKPI_NOW", now)
        self.client = create_app(url).test_client()
        self.connection = connection
        self.tokens: dict[Any, str] = {}

    def token(self, names: list[str] | None) -> str:
        """A token for some tenants, or for all."""
        key = tuple(names) if names is not None else None
        if key not in self.tokens:
            self.tokens[key] = tokens.create(self.connection, f"token {len(self.tokens)}", names)
        return self.tokens[key]

    def _asked(self, question: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The fields of a question as HTTP has them, and the header with its token."""
        fields = {key: value for key, value in question.items() if key not in ("tenant", "tenants")}
        visible = question.get("tenants")
        if question.get("tenant") and "tenant" in (fields.get("filters") or {}):
            visible = [question["tenant"]]  # two filters on one dimension do not fit into an object
        elif question.get("tenant"):
            fields["filters"] = (fields.get("filters") or {}) | {
                "tenant": {"op": "=", "values": [question["tenant"]]}
            }
        if are_dates(question):  # a viewer's midnights mean the same dates
            fields |= {name: f"{fields[name]}T00:00:00Z" for name in ("from", "to")}
            fields["timezone"] = "UTC"
        return fields, {"Authorization": f"Bearer {self.token(visible)}"}

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
        """The answer to a request, `forbidden`, or `error` when it is refused."""
        answer = self.client.post(path, json=body, headers=headers)
        if answer.status_code == 200:
            return answer.get_json()
        assert set(answer.get_json()) == {"message", "code", "detail", "hint"}, answer.data
        assert answer.status_code in (400, 403, 404, 422), answer.data
        return "forbidden" if answer.status_code == 403 else "error"

    def ask(self, question: dict[str, Any]) -> list[dict[str, Any]] | str:
        """The answer of POST /rows."""
        body, headers = self._asked(question)
        body["shape"] = shape = body.get("shape", "series").replace("table", "series")
        rows = self._post("/rows", body, headers)
        if isinstance(rows, str):
            return rows
        if shape == "distribution":
            return cells(rows)
        return of_rows(rows, question)

    def ask_query(
        self, question: dict[str, Any], wanted: list[dict[str, Any]] | str
    ) -> list[dict[str, Any]] | str:
        """The answer of POST /query.

        Its series are named after entities, not by their ids: they take the dims of the answer
        that is wanted, in order.
        """
        payload, headers = self._asked(question)
        # A dashboard always has a range; a question's own beside `last` stays in its payload.
        ends = {name: payload.get(name, NO_RANGE[name]) for name in ("from", "to")}
        if "last" not in payload:
            payload = {name: value for name, value in payload.items() if name not in ends}
        target = {"target": payload.pop("kpi"), "refId": "A", "payload": payload}
        frames = self._post("/query", {"range": ends, "targets": [target]}, headers)
        if isinstance(frames, str):
            return frames
        shape, compare = question.get("shape", "series"), question.get("compare") or ""
        if shape in ("total", "table", "distribution"):
            (table,) = frames
            names = [column["text"] for column in table["columns"]]
            rows = [dict(zip(names, row, strict=True)) for row in table["rows"]]
            if shape == "distribution":
                return cells(rows)
            return of_rows(rows, question)
        return self._series(frames, compare, wanted)

    def _series(
        self, frames: list[dict[str, Any]], compare: str, wanted: list[dict[str, Any]] | str
    ) -> list[dict[str, Any]]:
        """Series, each perhaps followed by what it is compared with, in the oracle's form."""
        # A group of whose own hours now has left none has no series.
        dims = [row.get("dims", {}) for row in wanted if isinstance(row, dict) and row["points"]]
        step = 2 if compare else 1
        found = []
        for number, frame in enumerate(frames[::step]):
            row = {"dims": dims[number] if number < len(dims) else None}
            row["points"] = points(frame)
            if compare:
                other = frames[number * step + 1]
                assert other["target"] == f"{frame['target']} ({compare})", other["target"]
                row[compare] = points(other)
            found.append(row)
        return found


def are_dates(question: dict[str, Any]) -> bool:
    """Whether a question's range is given as dates."""
    return "from" in question and "T" not in question["from"] and "-" in question["from"]


def of_rows(rows: list[dict[str, Any]], question: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of /rows, or of a table, in the oracle's form."""
    by = list(dict.fromkeys(question.get("by") or []))
    compare = question.get("compare") or ""
    found = []
    for row in rows:
        at = EPOCH + timedelta(milliseconds=row["time"]) if "time" in row else None
        dims = {dim: row[dim] for dim in by}
        found.append((at, dims, row["value"], row[compare] if compare else None))
    return grouped(found, question.get("shape", "series"), compare)


def cells(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A distribution's rows of hours in the oracle's form."""
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return [
        {"weekday": str(number), "hour": row["hour"], "value": row[day]}
        for number, day in enumerate(days, 1)
        for row in rows
    ]


def points(frame: dict[str, Any]) -> list[list[Any]]:
    """The data points of a series as instants with values."""
    return [
        [instant(EPOCH + timedelta(milliseconds=at)), value] for value, at in frame["datapoints"]
    ]
