"""Asks the product what the oracle is asked, and compares the two answers.

An answer here has the oracle's form: rows of dims, value and previous for a total, groups of
points for a series, cells for a distribution; values are numbers, instants UTC texts.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
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
    url = database.new_database()
    connection = connect(url, autocommit=True)
    init(connection, catalog)
    load_records(connection, records, folder)
    refresh(connection, catalog)
    connection.execute("SELECT set_config('kpi.now', %s, false)", [now])
    return url, connection


def moment(text: Any) -> datetime:
    """A question's time: a text in RFC 3339 or in milliseconds."""
    if str(text).isdigit():
        return EPOCH + timedelta(milliseconds=int(text))
    return datetime.fromisoformat(str(text))


def ask_sql(
    connection: psycopg.Connection[Any], question: dict[str, Any]
) -> list[dict[str, Any]] | str:
    """The planner's answer, or `error` when it refuses the question."""
    filters: list[Any] = [question.get("filters") or {}]
    if question.get("tenant"):
        filters.append({"tenant": {"op": "=", "values": [question["tenant"]]}})
    if question.get("tenants") is not None:
        filters.append({"tenant": {"op": "=", "values": question["tenants"]}})
    by = list(dict.fromkeys(question.get("by") or []))
    shape = question.get("shape", "series").replace("table", "series")
    ends = [moment(question["from"]), moment(question["to"])]
    try:
        with connection.transaction():
            connection.execute(
                "SELECT set_config('kpi.viewer_zone', %s, true)", [question.get("timezone") or ""]
            )
            if shape == "distribution":
                rows = connection.execute(
                    "SELECT * FROM kpi.distribution(%s, %s, %s, %s)",
                    [question["kpi"], *ends, Jsonb(filters)],
                ).fetchall()
                return [{"weekday": day, "hour": hour, "value": value} for day, hour, value in rows]
            rows = connection.execute(
                "SELECT * FROM kpi_admin.answer(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    *(question["kpi"], shape, *ends, question.get("interval"), Jsonb(filters), by),
                    *(
                        question.get("granularity"),
                        question.get("timezone"),
                        question.get("compare") == "previous",
                    ),
                ],
            ).fetchall()
    except psycopg.Error as error:
        assert (error.sqlstate or "").startswith("KP"), error
        return "error"
    return grouped(
        [
            (at, dict(zip(by, dims, strict=True)), value, previous)
            for at, dims, value, previous in rows
        ],
        shape,
        bool(question.get("compare")),
    )


def grouped(
    rows: Sequence[tuple[Any, dict[str, str], Any, Any]], shape: str, compared: bool
) -> list[dict[str, Any]]:
    """Rows (time, dims, value, previous) in the oracle's form."""
    if shape == "total":
        return [
            {"dims": dims, "value": value} | ({"previous": previous} if compared else {})
            for _, dims, value, previous in rows
        ]
    groups: dict[str, dict[str, Any]] = {}
    for at, dims, value, previous in rows:
        group = groups.setdefault(json.dumps(dims), {"dims": dims, "points": []})
        group["points"].append([instant(at), value])
        if compared:
            group.setdefault("previous", []).append([instant(at), previous])
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
        for name in ("points", "previous"):
            if isinstance(row.get(name), list):
                row[name] = [[instant(at), value] for at, value in row[name]]
        if row.get("points") != []:
            rows.append(row)
    return sorted(
        rows,
        key=lambda row: (json.dumps(row["dims"]), str(row.get("weekday")), str(row.get("hour"))),
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
    """The product's server, asked through POST /rows with a token of the question's tenants."""

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

    def ask(self, question: dict[str, Any]) -> list[dict[str, Any]] | str:
        """The answer, `forbidden`, or `error` when the question is refused."""
        body = {key: value for key, value in question.items() if key not in ("tenant", "tenants")}
        body["shape"] = shape = body.get("shape", "series").replace("table", "series")
        visible = question.get("tenants")
        if question.get("tenant") and "tenant" in (body.get("filters") or {}):
            visible = [question["tenant"]]  # two filters on one dimension do not fit into an object
        elif question.get("tenant"):
            body["filters"] = (body.get("filters") or {}) | {
                "tenant": {"op": "=", "values": [question["tenant"]]}
            }
        answer = self.client.post(
            "/rows", json=body, headers={"Authorization": f"Bearer {self.token(visible)}"}
        )
        if answer.status_code != 200:
            assert set(answer.get_json()) == {"message", "code", "detail", "hint"}, answer.data
            assert answer.status_code in (400, 403, 404, 422), answer.data
            return "forbidden" if answer.status_code == 403 else "error"
        rows = answer.get_json()
        if shape == "distribution":
            days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
            return [
                {"weekday": str(n + 1), "hour": row["hour"], "value": row[day]}
                for n, day in enumerate(days)
                for row in rows
            ]
        by = list(dict.fromkeys(question.get("by") or []))
        return grouped(
            [
                (
                    EPOCH + timedelta(milliseconds=row["time"]) if "time" in row else None,
                    {dim: row[dim] for dim in by},
                    row["value"],
                    row.get("previous"),
                )
                for row in rows
            ],
            shape,
            bool(question.get("compare")),
        )
