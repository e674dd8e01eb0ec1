"""The public views: documented, shaped as promised, and adding up to what the functions say."""

from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datasource.catalog import DIMS
from tests.agreement import CATALOG, installed
from tests.conftest import Databases
from tests.oracle.random_records import NOW, tenants

Connection = psycopg.Connection[Any]
MEASURES = {
    "distinct contacts": ["contact"],
    "distinct conversations": ["conversation"],
    "distinct users": ["user_id"],
}
MEASURES |= {"ratio": ["numerator", "denominator"], "score": ["numerator", "denominator"]}


@pytest.fixture(scope="module")
def connection(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Connection:
    return installed(database, tenants(51, 4), tmp_path_factory.mktemp("views"), NOW.isoformat())[1]


@pytest.mark.parametrize("kpi_id", CATALOG.kpis)
def test_columns(kpi_id: str, connection: Connection) -> None:
    kpi = CATALOG.kpis[kpi_id]
    measures = ["level"] if kpi.is_level else MEASURES.get(kpi.counting, ["value"])
    columns = [
        (r[0], r[1])
        for r in connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
            [f'kpi."{kpi_id}"'],
        )
    ]
    wanted = [
        ("tenant_id", "text"),
        ("month" if kpi.grain == "month" else "day", "date"),
        *((dim, "text") for dim in kpi.dims),
    ]
    assert columns[: len(wanted)] == wanted
    assert [name for name, _ in columns[len(wanted) :]] == measures


def test_every_view_and_column_has_a_comment(connection: Connection) -> None:
    bare = connection.execute(
        "SELECT c.oid::regclass, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum >= 0 "
        "WHERE c.relnamespace = 'kpi'::regnamespace AND c.relkind = 'v' AND coalesce(col_description(c.oid, a.attnum), '') = ''"
    ).fetchall()
    functions = connection.execute(
        "SELECT oid::regproc FROM pg_proc WHERE pronamespace = 'kpi'::regnamespace AND coalesce(obj_description(oid, 'pg_proc'), '') = ''"
    ).fetchall()
    views = connection.execute(
        "SELECT c.oid::regclass FROM pg_class AS c WHERE c.relnamespace = 'kpi'::regnamespace AND c.relkind = 'v' "
        "AND coalesce(obj_description(c.oid, 'pg_class'), '') = ''"
    ).fetchall()
    assert bare == [] and functions == [] and views == []


@pytest.mark.parametrize("kpi_id", CATALOG.kpis)
def test_rows_add_up_to_the_total(kpi_id: str, connection: Connection) -> None:
    """Over whole months of every tenant, by its first dimension: the view, folded by hand, is kpi.total."""
    kpi = CATALOG.kpis[kpi_id]
    if kpi.is_level:
        pytest.skip("a level's months do not add up")
    by = ["tenant", *kpi.dims[:1]]
    fold = {
        "contact": "count(DISTINCT contact)",
        "conversation": "count(DISTINCT conversation)",
        "user_id": "count(DISTINCT user_id)",
        "value": "sum(value)",
        "numerator": "sum(numerator) / nullif(sum(denominator), 0)",
    }[MEASURES.get(kpi.counting, ["value"])[0]]
    columns = ", ".join(["tenant_id", *(f'"{dim}"' for dim in by[1:])])
    day = "month" if kpi.grain == "month" else "day"
    rows = connection.execute(
        f"SELECT {columns}, {fold} FROM kpi.\"{kpi_id}\" WHERE {day} >= '2025-09-01' AND {day} < '2026-04-01' GROUP BY {columns}"
    ).fetchall()
    zones = connection.execute(
        "SELECT n.tenant, t.zone FROM kpi_fact.tenant AS t JOIN kpi_data.tenant_number AS n USING (tenant_no)"
    )
    got = {tuple(row[:-1]): row[-1] for row in rows if row[-1] is not None}
    wanted = {}
    for tenant, zone in zones.fetchall():
        first, last = (
            _midnight(connection, zone, day) for day in (date(2025, 9, 1), date(2026, 4, 1))
        )
        for dims, value in connection.execute(
            "SELECT * FROM kpi.total(%s, %s, %s, jsonb_build_object('tenant', jsonb_build_object('op', '=', 'values', %s::text)), %s)",
            [kpi_id, first, last, tenant, by],
        ):
            wanted[tuple(dims[dim] for dim in by)] = value
    assert got.keys() == wanted.keys()
    assert all(float(got[key]) == pytest.approx(float(wanted[key]), rel=1e-12) for key in wanted)


def _midnight(connection: Connection, zone: str, day: date) -> Any:
    row = connection.execute("SELECT kpi_admin.day_start(%s, %s)", [zone, day]).fetchone()
    return row[0] if row else None


def test_the_catalogue_is_the_files(connection: Connection) -> None:
    rows = connection.execute(
        "SELECT kpi_id, family, title, unit, counting, dims, view_name, source FROM kpi.catalog"
    ).fetchall()
    assert [row[0] for row in rows] == list(CATALOG.kpis)
    for kpi_id, family, title, unit, counting, dims, view_name, source in rows:
        kpi = CATALOG.kpis[kpi_id]
        assert (family, title, unit, counting, tuple(dims), source) == (
            kpi.family,
            kpi.words["en"][0],
            kpi.unit,
            kpi.counting,
            kpi.dims,
            kpi.source,
        )
        assert view_name == f"kpi.{kpi_id}"
        assert not set(dims) - set(DIMS)


def test_freshness(connection: Connection, tmp_path: Path) -> None:
    rows = connection.execute(
        "SELECT view_name, kpi_ids, refreshed_at, newest_event, behind FROM kpi.freshness"
    ).fetchall()
    by_view = {row[0]: row for row in rows}
    assert "nps" in by_view["kpi.nps_answers"][1]
    assert all(row[2] is not None and row[4].total_seconds() == 0 for row in rows)


@pytest.mark.parametrize(
    "kpi_id",
    [
        k
        for k in CATALOG.kpis
        if CATALOG.kpis[k].counting in ("count", "sessions", "sum", "ratio", "score")
    ],
)
def test_hits_make_the_number(kpi_id: str, connection: Connection) -> None:
    span = ["2025-06-01T00:00:00Z", "2026-06-01T00:00:00Z"]
    row = connection.execute("SELECT value FROM kpi.total(%s, %s, %s)", [kpi_id, *span]).fetchone()
    hits = connection.execute(
        "SELECT amount, dims, tenant_id FROM kpi.hits(%s, %s, %s)", [kpi_id, *span]
    ).fetchall()
    amounts = [float(amount) for amount, _, _ in hits]
    assert row
    if CATALOG.kpis[kpi_id].is_formula:
        assert (
            hits == []
            if row[0] is None
            else sum(amounts) / len(amounts) == pytest.approx(float(row[0]))
        )
    else:
        assert sum(amounts) == pytest.approx(float(row[0]))
    assert all(set(dims) == set(CATALOG.kpis[kpi_id].dims) for _, dims, _ in hits)
