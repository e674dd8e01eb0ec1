"""The alert rule fires and ends on data made for it: its question asked of the server, its
threshold applied here as Grafana's expressions do."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from datasource.catalog import Catalog
from datasource.grafana import build, panel_id
from datasource.store.refresh import refresh
from tests.agreement import load_records
from tests.conftest import Databases
from tests.datasource.protocol.client import Client, served

FILES = build(Catalog.read())
[GROUP] = yaml.safe_load(FILES["provisioning/alerting/bounce_rate.yaml"])["groups"]
[RULE] = GROUP["rules"]
QUERY, REDUCE, THRESHOLD = RULE["data"]
NOW = datetime(2027, 3, 1, 12, 30, tzinfo=UTC)


def sessions(tenant: str, bounces: int, answered: int, at: datetime) -> list[dict[str, Any]]:
    """Return a tenant's sessions, each of a contact of its own and one message."""
    senders = ["bot"] * bounces + ["contact"] * answered
    event = {"type": "message", "tenant": tenant, "experience": "x", "at": at.isoformat()}
    mark = f"{at:%d%H}"
    return [
        event | {"id": f"{mark}-{n}", "contact": f"{mark}-{n}", "from": sender}
        for n, sender in enumerate(senders)
    ]


@pytest.fixture(scope="module")
def server(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Serve three tenants: just above the threshold, at it, and without a session of today."""
    at = NOW - timedelta(hours=3)
    records = [
        {"type": "tenant", "id": "above", "name": "Above", "timezone": "Asia/Kolkata"},
        *sessions("above", bounces=7, answered=4, at=at),
        *sessions("at", bounces=6, answered=4, at=at),
        *sessions("silent", bounces=9, answered=0, at=NOW - timedelta(hours=30)),
    ]
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("records")
        yield served(database, records, folder, patch, now=(NOW + timedelta(days=9)).isoformat())


def firing(server: Client, now: datetime) -> set[str]:
    """Return the tenants for which the rule's condition holds."""
    span = QUERY["relativeTimeRange"]
    data = QUERY["model"]["url_options"]["data"]
    for name in ("from", "to"):
        at = now - timedelta(seconds=span[name])
        data = data.replace(f"${{__time{name.title()}}}", str(int(at.timestamp() * 1000)))
    [condition] = THRESHOLD["model"]["conditions"]
    assert (condition["evaluator"]["type"], REDUCE["model"]["reducer"]) == ("gt", "last")
    [limit] = condition["evaluator"]["params"]
    rows = server.rows(json.loads(data))
    return {row["tenant_name"] for row in rows if row["value"] > limit}


def test_rule_is_one_that_grafana_can_evaluate() -> None:
    model = QUERY["model"]
    assert model["parser"] == "backend"
    assert [column["type"] for column in model["columns"]].count("number") == 1
    assert not any(column["type"].startswith("timestamp") for column in model["columns"])
    assert "${__timezone}" not in model["url_options"]["data"], "Grafana fills it in panels only"
    assert [REDUCE["model"]["expression"], THRESHOLD["model"]["expression"]] == ["A", "B"]
    assert (RULE["condition"], RULE["noDataState"], RULE["execErrState"]) == ("C", "OK", "Error")


def test_rule_points_to_its_panel() -> None:
    boards = [json.loads(text) for path, text in FILES.items() if path.endswith(".json")]
    [board] = [one for one in boards if one["uid"] == RULE["dashboardUid"]]
    assert RULE["panelId"] == panel_id("experience_overview", "bounce_rate_before")
    [panel] = [one for one in board["panels"] if one["id"] == RULE["panelId"]]
    assert (
        panel["type"] == "timeseries"
        and "bounce_rate" in panel["targets"][0]["url_options"]["data"]
    )


def test_fires_above_the_threshold_only(server: Client) -> None:
    assert firing(server, NOW) == {"Above"}


def test_ends_when_contacts_answer(
    server: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    later = NOW + timedelta(hours=2)
    answered = sessions("above", bounces=0, answered=2, at=later - timedelta(hours=1))
    load_records(server.connection, answered, tmp_path_factory.mktemp("more"))
    refresh(server.connection, Catalog.read())
    assert firing(server, later) == set()


def test_ends_when_the_sessions_are_a_day_old(server: Client) -> None:
    assert firing(server, NOW + timedelta(days=3)) == set()
