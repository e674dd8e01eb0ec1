"""What readers learn of how fresh the numbers are: of their own tenants, by the real clock."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datasource.store.refresh import refresh
from tests.agreement import CATALOG, installed, load_records
from tests.conftest import Databases
from tests.datasource.protocol.client import Client

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)


def message(tenant: str, number: str, at: datetime) -> dict[str, Any]:
    return {
        **{"type": "message", "tenant": tenant, "id": number, "at": at.isoformat()},
        **{"from": "contact", "contact": "c1", "conversation": "v", "experience": "e"},
    }


def fresh(url: str) -> tuple[Any, ...]:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT newest_event, behind > interval '0', loaded_at FROM kpi.freshness "
            "WHERE view_name = 'kpi.messages'"
        ).fetchone()
    assert row
    return row


@pytest.fixture
def place(database: Databases, tmp_path: Path) -> tuple[str, psycopg.Connection[Any], Path]:
    """Tenant a with a message of an hour ago and one of tomorrow; tenant b with an older one."""
    records = [
        message("a", "1", NOW - HOUR),
        message("a", "2", NOW + 24 * HOUR),
        message("b", "1", NOW - 50 * HOUR),
    ]
    url, connection = installed(database, records, tmp_path, NOW.isoformat())
    connection.execute(
        "DO $$ BEGIN CREATE ROLE of_b LOGIN IN ROLE kpi_reader; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    connection.execute("INSERT INTO kpi_admin.login VALUES ('of_b', 'b')")
    return url, connection, tmp_path


def of_b(url: str) -> str:
    return url.replace("//chatkpi@", "//of_b@")


def test_the_newest_event_is_not_after_now(
    place: tuple[str, psycopg.Connection[Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, connection, _ = place
    assert fresh(url)[0] == NOW - HOUR
    assert fresh(of_b(url))[0] == NOW - 50 * HOUR
    found = connection.execute("SELECT tenant, events FROM kpi_admin.future_events()").fetchall()
    assert found == [("a", 1)]
    text = Client(url, connection).get("/metrics").text
    assert "chatkpi_future_events 1.0" in text
    [newest] = [line for line in text.splitlines() if line.startswith("chatkpi_newest_event")]
    assert float(newest.split()[1]) == pytest.approx((NOW - HOUR).timestamp())


def test_loads_of_others_are_not_told(place: tuple[str, psycopg.Connection[Any], Path]) -> None:
    url, connection, folder = place
    before = fresh(of_b(url))
    load_records(connection, [message("a", "3", NOW - HOUR)], folder)
    assert fresh(of_b(url)) == before and not before[1]
    newest, behind, loaded = fresh(url)
    assert behind and loaded > before[2] and newest == NOW - HOUR
    load_records(connection, [{"type": "channel", "tenant": "b", "id": "c"}], folder)
    assert fresh(of_b(url))[1:] > (before[1], before[2])
    refresh(connection, CATALOG)
    newest, behind, loaded = fresh(of_b(url))
    assert not behind and loaded > before[2] and newest == NOW - 50 * HOUR


def test_a_loader_that_has_nothing_to_do_has_not_stopped(
    place: tuple[str, psycopg.Connection[Any], Path],
) -> None:
    url, connection, folder = place
    before = fresh(url)
    load_records(connection, [message("a", "1", NOW - HOUR)], folder)
    newest, behind, loaded = fresh(url)
    assert loaded > before[2] and not behind and newest == before[0]


def test_a_token_of_a_tenant_learns_of_it_alone(
    place: tuple[str, psycopg.Connection[Any], Path],
) -> None:
    url, connection, _ = place
    client = Client(url, connection)

    def newest(tenants: list[str] | None) -> Any:
        rows = client.rows({"list": "freshness"}, headers=client.token(tenants))
        return {row["newest_event"] for row in rows if row["view_name"] == "kpi.messages"}

    def milliseconds(at: datetime) -> int:
        return int(at.timestamp() * 1000)

    assert newest(["b"]) == {milliseconds(NOW - 50 * HOUR)}
    assert newest(["a"]) == newest(None) == {milliseconds(NOW - HOUR)}
