"""Local days where a clock repeats a midnight or leaves a date out: a day goes from its date's first instant to the next's."""

from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from datasource.store.connection import connect
from datasource.store.migrate import init
from tests.agreement import CATALOG, Http, agrees, installed
from tests.conftest import Databases
from tests.oracle.oracle import Oracle

STARTS = [
    ("Europe/Amsterdam", "2026-10-25", "2026-10-24 22:00+00"),
    ("America/Havana", "2026-11-01", "2026-11-01 04:00+00"),
    ("Asia/Chita", "2014-10-26", "2014-10-25 14:00+00"),
    ("Antarctica/Casey", "2019-03-17", "2019-03-16 13:00+00"),
    ("Australia/Lord_Howe", "2026-04-05", "2026-04-04 13:00+00"),
]


@pytest.fixture(scope="module")
def url(database: Databases) -> str:
    url = database.new_database()
    with connect(url) as connection:
        init(connection, CATALOG)
    return url


@pytest.mark.parametrize(("zone", "day", "starts"), STARTS)
def test_a_day_starts_at_its_first_instant(url: str, zone: str, day: str, starts: str) -> None:
    with connect(url) as connection:
        asked = "SELECT kpi_admin.day_start(%s, %s::date) = %s::timestamptz"
        assert connection.execute(asked, [zone, day, starts]).fetchone() == (True,)


# The date goes on past a clock that goes back over midnight; Apia had no 30 December.
CHANGES = {
    "America/St_Johns": "2010-11-07T02:31Z",
    "Antarctica/Casey": "2010-03-04T15:00Z",
    "America/Moncton": "2006-10-29T03:01Z",
    "Pacific/Apia": "2011-12-30T10:00Z",
    "America/Havana": "2010-10-31T05:00Z",
}


def test_ranges_about_a_changed_midnight(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = "2012-06-01T00:00:00Z"
    records: list[dict[str, Any]] = []
    for tenant, near in CHANGES.items():
        records.append({"type": "tenant", "id": tenant, "timezone": tenant})
        first = datetime.fromisoformat(near) - timedelta(days=4)
        records += [
            {
                "type": "participation",
                "tenant": tenant,
                "id": str(n),
                "contact": str(n % 5),
                "at": f"{at:%FT%TZ}",
            }
            for n, at in enumerate(first + n * timedelta(minutes=29) for n in range(400))
        ]
    url, connection = installed(database, records, tmp_path, now)
    http = Http(url, connection, now, monkeypatch)
    oracle, random = Oracle(records, datetime.fromisoformat(now)), Random(7)
    with connection:
        for (tenant, near), granularity, kpi in product(
            CHANGES.items(), ("hour", "day"), ("participations", "participants")
        ):
            for _ in range(12):
                ends = sorted(random.sample(range(-96, 96), 2))
                start, end = (
                    datetime.fromisoformat(near) + timedelta(minutes=30 * n) for n in ends
                )
                question = {
                    "tenant": tenant,
                    "kpi": kpi,
                    "from": start.isoformat(),
                    "to": end.isoformat(),
                    "granularity": granularity,
                    "shape": random.choice(["total", "series", "cumulative"]),
                    "interval": random.choice(["hour", "day"]),
                    "compare": "previous",
                }
                assert agrees(http.ask(question), oracle.answer(question)), question
