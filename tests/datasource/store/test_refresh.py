"""An incremental refresh ends where a full one does, whatever arrived and in whatever order."""

import random
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datasource.store.connection import connect
from datasource.store.migrate import init
from datasource.store.refresh import refresh
from tests.agreement import CATALOG, load_records
from tests.conftest import Databases
from tests.oracle.random_records import tenants

Connection = psycopg.Connection[Any]
PLAIN = [kpi.kpi_id for kpi in CATALOG.kpis.values() if not kpi.is_formula]


def everything(connection: Connection) -> dict[str, list[Any]]:
    """What people can read of every KPI: its view's rows, its hits by their ids, its days as folded."""
    folded = "SELECT kpi_id, tenant_no, day, amount, since::text, new FROM kpi_admin.day_amount"
    found = {"days": sorted(map(repr, connection.execute(folded).fetchall()))}
    for kpi_id in PLAIN:
        found[kpi_id] = sorted(
            map(repr, connection.execute(f'SELECT * FROM kpi."{kpi_id}"').fetchall())
        )
        found[f"hits of {kpi_id}"] = sorted(
            map(
                repr,
                connection.execute(
                    f'SELECT tenant_no, at, day, hour, kind, id, amount FROM kpi_hits."{kpi_id}"'
                ),
            )
        )
    return found


def changed(
    record: dict[str, Any], rng: random.Random, records: list[dict[str, Any]]
) -> dict[str, Any]:
    """An entity's record with a field taken from another of its type: it moves, or changes."""
    other = rng.choice(
        [
            r
            for r in records
            if (r["type"], r.get("tenant")) == (record["type"], record.get("tenant"))
        ]
    )
    fields = [f for f in other if f not in ("type", "tenant", "id", "month")]
    return record | ({field: other[field]} if fields and (field := rng.choice(fields)) else {})


BATCHES = 4


@pytest.mark.parametrize("seed", [11, 12])
def test_batches_equal_a_full_refresh(seed: int, database: Databases, tmp_path: Path) -> None:
    rng = random.Random(seed)
    records = tenants(seed, 5)
    entities = [r for r in records if "at" not in r]
    rng.shuffle(records)
    url = database.installed()
    connection = connect(url, autocommit=True)
    step = -(-len(records) // BATCHES)
    for batch in range(BATCHES):
        part = records[batch * step : (batch + 1) * step] + rng.sample(records, 5)
        part += [changed(entity, rng, entities) for entity in rng.sample(entities, 4)]
        load_records(connection, part, tmp_path)
        refresh(connection, CATALOG)
        connection.close()
        copy_url = database.new_database(url)
        connection = connect(url, autocommit=True)
        with connect(copy_url, autocommit=True) as copy:
            refresh(copy, CATALOG, full=True)
            wanted = everything(copy)
        got = everything(connection)
        different = [key for key in wanted if got[key] != wanted[key]]
        assert not different, (batch, different, got[different[0]][:5], wanted[different[0]][:5])


def test_zone_and_rule_changes_recompute_that_tenant(database: Databases, tmp_path: Path) -> None:
    records = tenants(21, 2)
    tenant = records[0]["tenant"] if records[0]["type"] != "tenant" else records[0]["id"]
    url = database.installed()
    connection = connect(url, autocommit=True)
    load_records(connection, records, tmp_path)
    refresh(connection, CATALOG)
    changed_record = {
        "type": "tenant",
        "id": tenant,
        "timezone": "Asia/Kathmandu",
        "session_rule": "fixed",
        "session_minutes": 7,
    }
    load_records(connection, [changed_record], tmp_path)
    assert refresh(connection, CATALOG).recomputed == (tenant,)
    got = everything(connection)
    refresh(connection, CATALOG, full=True)
    assert got == everything(connection)


def test_nothing_new_builds_nothing(database: Databases, tmp_path: Path) -> None:
    connection = connect(database.installed(), autocommit=True)
    load_records(connection, tenants(31, 1), tmp_path)
    assert refresh(connection, CATALOG).slices > 0
    assert refresh(connection, CATALOG).slices == 0
    init(connection, CATALOG)
    assert refresh(connection, CATALOG).slices == 0
