"""Local days where the clock repeats a midnight: a day starts at the first of the two."""

import pytest

from datasource.store.connection import connect
from datasource.store.migrate import init
from tests.agreement import CATALOG
from tests.conftest import Databases

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
