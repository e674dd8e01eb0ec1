"""Ranges as SQL takes them, and what they are held against, told by hand."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.agreement import installed
from tests.conftest import Databases

NOW = "2026-11-20T12:30:00Z"
ZONES = {
    "ams": "Europe/Amsterdam",
    "bru": "Etc/UTC",
    "kol": "Asia/Kolkata",
    "lhi": "Australia/Lord_Howe",
    "nyc": "America/New_York",
    "utc": "UTC",
}
# Instants of messages by tenant: about changes of the clock, at a month's end, today.
SENT = {
    "ams": [
        "2026-09-30T12:00:00+02:00",
        "2026-10-01T00:00:00+02:00",
        *(f"2026-10-25T{hour}" for hour in ("02:10:00+02:00", "02:20:00+01:00", "03:30:00+01:00")),
        "2026-10-26T02:30:00+01:00",
        "2026-10-31T23:59:00+01:00",
        *(f"2026-11-{day:02}T10:00:00+01:00" for day in (6, 13, 19)),
        "2026-11-20T09:00:00+01:00",
    ],
    "bru": ["2026-11-19T10:10:00Z"],
    "kol": ["2026-11-19T10:40:00Z"],
    "lhi": [f"2026-04-04T{hour}+11:00" for hour in ("01:10:00", "01:40:00", "02:10:00")],
    "nyc": ["2026-11-19T10:20:00Z"],
    "utc": ["2026-11-19T10:05:00Z"],
}
Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def connection(
    database: Databases, tmp_path_factory: pytest.TempPathFactory
) -> psycopg.Connection[Any]:
    records: list[dict[str, Any]] = [
        {"type": "tenant", "id": tenant, "timezone": zone} for tenant, zone in ZONES.items()
    ]
    records += [
        {"type": "user", "tenant": "ams", "id": "there"},
        {"type": "user", "tenant": "ams", "id": "gone", "active": False},
        {"type": "message", "tenant": "ams", "id": "u", "at": "2026-11-19T09:00:00Z"}
        | {"from": "user", "user": "no-record", "conversation": "v", "channel": "c"},
    ]
    for tenant, instants in SENT.items():
        for number, at in enumerate(instants):
            message = {"type": "message", "tenant": tenant, "id": str(number), "at": at}
            records.append(
                message | {"from": "contact", "contact": "c1", "conversation": "v", "channel": "c"}
            )
    _, connection = installed(database, records, tmp_path_factory.mktemp("ranges"), NOW)
    return connection


@pytest.fixture
def ask(connection: psycopg.Connection[Any]) -> Ask:
    """A plan's answer as (time of the tenant's first zone, dims, value, compared)."""

    def answer(
        tenants: str | list[str],
        range_sql: str,
        shape: str = "total",
        bucket: str = "auto",
        **more: Any,
    ) -> list[tuple[Any, ...]]:
        given = {"by": [], "granularity": None, "compare": None, "all_groups": False} | more
        given |= {"kpi": given.get("kpi", "messages"), "shape": shape, "bucket": bucket}
        chosen = [tenants] if isinstance(tenants, str) else tenants
        given["tenants"] = chosen
        return connection.execute(
            "SELECT to_char(a.bucket_start AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), a.dims, "
            "trim_scale(a.value), trim_scale(a.compared) "
            f"FROM kpi_admin.answer(kpi_admin.plan(%(kpi)s, %(shape)s, {range_sql}, %(bucket)s, "
            "kpi_admin.conditions(jsonb_build_object('tenant', "
            "jsonb_build_object('op', '=', 'values', to_jsonb(%(tenants)s::text[])))), "
            "%(by)s, %(granularity)s, NULL, %(compare)s, %(all_groups)s)) AS a".encode(),
            given,
        ).fetchall()

    return answer


def between(start: str, end: str) -> str:
    return f"kpi_admin.between_texts('{start}', '{end}')"


def last(period: str) -> str:
    return f"(NULL, NULL, NULL, NULL, '{period}')::kpi_admin.asked_range"


def total(connection: psycopg.Connection[Any], ends: str, zone: str = "UTC") -> Any:
    with connection.transaction():
        connection.execute("SELECT set_config('TimeZone', %s, true)", [zone])
        [(value,)] = connection.execute(
            f"SELECT value FROM kpi.total('messages', {ends}, '{{\"tenant\": \"ams\"}}')".encode()
        )
    return value


def test_a_date_is_the_tenants_own_whatever_the_session_is(
    connection: psycopg.Connection[Any],
) -> None:
    october = 6
    for zone in ("UTC", "Pacific/Auckland", "America/Los_Angeles"):
        assert total(connection, "'2026-10-01', '2026-11-01'", zone) == october
        assert total(connection, "date '2026-10-01', date '2026-11-01'", zone) == october
    instants = "'2026-10-01T00:00:00+02:00', '2026-11-01 00:00+01'"
    assert total(connection, instants) == october
    assert total(connection, "timestamptz '2026-09-30 22:00Z', '2026-10-31 23:00Z'") == october
    assert total(connection, "'2026-10-01', '2026-10-31T23:00:00Z'") == october


@pytest.mark.parametrize(
    "ends",
    [
        "'2026-10-01 00:00', '2026-11-01'",
        "'yesterday', 'today'",
        "'2026-11-01', '2026-10-01'",
        "'2026-10-01', '2026-10-01'",
        "'1999-12-31', '2026-10-01'",
    ],
)
def test_a_text_that_is_no_range_is_refused(connection: psycopg.Connection[Any], ends: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        total(connection, ends)
    assert caught.value.sqlstate == "KP422" and caught.value.diag.constraint_name == "invalid_range"


def test_values_have_no_trailing_zeros_and_all_is_described(
    connection: psycopg.Connection[Any],
) -> None:
    for call in ("total", "series", "distribution"):
        rows = connection.execute(
            f"SELECT value::text FROM kpi.{call}('messages', '2026-10-01', '2026-11-01')".encode()
        ).fetchall()
        assert rows and not any(value.endswith("0") and "." in value for (value,) in rows)
    undescribed = connection.execute(
        "SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'kpi'::regnamespace "
        "AND obj_description(oid, 'pg_proc') IS NULL"
    ).fetchall()
    assert undescribed == []


def test_a_day_after_a_clock_change_against_all_of_the_day_before(ask: Ask) -> None:
    day = between("2026-10-26", "2026-10-27")
    for granularity in ("hour", "day"):
        rows = ask("ams", day, compare="previous", granularity=granularity)
        assert rows == [(None, [], 1, 3)]


def test_hours_are_held_against_the_same_clock_times(ask: Ask) -> None:
    """2 o'clock came twice on 25 October: both are before 3, and what is left out is the change."""
    night = between("2026-10-26", "2026-10-26T03:00:00Z")
    rows = ask("ams", night, "series", "hour", compare="previous")
    assert [row[2:] for row in rows] == [(0, 0), (0, 0), (1, 2), (0, 1)]
    changed = between("2026-10-25", "2026-10-25T03:00:00Z")
    rows = ask("ams", changed, "series", "hour", compare="previous")
    # The first 2 o'clock ends where the second begins: nothing is left of it the day before.
    assert [row[3] for row in rows] == [0, 0, None, 0, 0]


def test_half_hours_of_a_clock_change(ask: Ask) -> None:
    """On 5 April Lord Howe's clock goes from 2:00 to 1:30, so that half past begins an hour."""
    night = between("2026-04-05", "2026-04-04T16:00:00Z")
    rows = ask("lhi", night, "series", "hour", compare="previous")
    assert [(row[0], row[3]) for row in rows] == [
        ("04-04 13:00", 0),
        ("04-04 14:00", 1),
        ("04-04 15:00", 1),
        ("04-04 15:30", 1),
    ]


def test_a_month_so_far_against_the_month_before(ask: Ask) -> None:
    rows = ask("ams", between("2026-11-01", "2026-12-01"), compare="previous")
    assert rows == [(None, [], 5, 1)]  # to the end of 20 November, against 1 to 20 October
    month = ask("ams", between("2026-10-01", "2026-11-01"), "series", "day", compare="previous")
    assert month[29][3] == 1 and month[30][2:] == (1, None)  # 30 September; there is no 31st
    so_far = ask(
        "ams", between("2026-10-01", "2026-11-01"), "cumulative", "day", compare="previous"
    )
    assert so_far[30][2:] == (6, 1)


def test_ranges_that_begin_within_a_day_go_back_by_hours(ask: Ask) -> None:
    rows = ask("ams", between("2026-11-20T07:00:00Z", "2026-11-20T09:00:00Z"), compare="previous")
    assert rows == [(None, [], 1, 0)]
    rows = ask("ams", between("2026-11-20T09:00:00Z", "2026-11-20T11:00:00Z"), compare="previous")
    assert rows == [(None, [], 0, 1)]


def test_what_is_usual(ask: Ask) -> None:
    friday = between("2026-11-20", "2026-11-21")
    assert ask("ams", friday, compare="usual") == [(None, [], 1, 0.5)]  # 6 and 13 November
    assert ask("ams", friday, compare="usual", by=["device"]) == [(None, ["no device"], 1, 0.5)]
    assert ask("nyc", friday, compare="usual") == [(None, [], 0, None)]  # came on the 19th
    assert ask(["ams", "nyc"], friday, compare="usual") == [(None, [], 1, 0.5)]
    week = between("2026-11-13", "2026-11-20")
    assert ask("ams", week, compare="usual") == [(None, [], 3, 1.5)]
    tomorrow = between("2026-11-21", "2026-11-22")  # now has left nothing of it
    assert ask("ams", tomorrow, compare="usual") == [(None, [], 0, 0)]


@pytest.mark.parametrize(
    ("more", "range_sql"),
    [
        ({"compare": "usual"}, between("2026-11-12", "2026-11-20")),
        ({"compare": "usual", "kpi": "mecs"}, between("2026-11-12", "2026-11-13")),
        ({"compare": "later"}, between("2026-11-12", "2026-11-13")),
        ({"all_groups": True}, last("1 day")),
        ({"all_groups": True, "by": ["device"]}, last("1 day")),
        ({"all_groups": True, "by": ["channel", "inbox"]}, last("1 day")),
        ({}, last("400 hours")),
        ({}, last("9999 months")),
    ],
)
def test_what_cannot_be_asked_together(ask: Ask, more: dict[str, Any], range_sql: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        ask("ams", range_sql, **more)
    assert caught.value.sqlstate == "KP422"


def test_last_is_of_each_tenants_own_clock(ask: Ask) -> None:
    assert ask("ams", last("1 day")) == [(None, [], 2, None)]
    assert ask("ams", last("3 hours"), "series")[0][0] == "11-20 09:00"
    assert ask("kol", last("3 hours"), "series")[0][0] == "11-20 09:30"
    weeks = ask("ams", last("2 weeks"), "series", "week")
    assert [row[0] for row in weeks] == ["11-01 23:00", "11-08 23:00"]
    months = ask("ams", last("2 months"), "series", "month")
    assert [(row[0], row[2]) for row in months] == [("08-31 22:00", 1), ("09-30 22:00", 6)]


def test_hours_of_several_tenants(ask: Ask) -> None:
    hour = between("2026-11-19T10:00:00Z", "2026-11-19T11:00:00Z")
    assert ask(["nyc", "utc", "bru"], hour, "series", "hour") == [("11-19 10:00", [], 3, None)]
    apart = ask(["utc", "kol"], hour, "series", "hour", by=["tenant"])
    assert [row[:3] for row in apart] == [
        ("11-19 09:30", ["kol"], 0),
        ("11-19 10:00", ["utc"], 1),
        ("11-19 10:30", ["kol"], 1),
    ]
    with pytest.raises(psycopg.Error) as caught:
        ask(["utc", "kol"], hour, "series", "hour")
    assert caught.value.diag.constraint_name == "mixed_time_zones"
    assert ask(["utc", "kol"], hour)[0][2] == 2  # a total has no hours that could differ


def test_two_names_of_one_clock_are_one(ask: Ask) -> None:
    """Europe/Amsterdam would be UTC's midnights beside another zone, and Etc/UTC is none."""
    day = between("2026-11-19", "2026-11-20")
    assert ask(["utc", "bru"], day, "series", "day")[0][0] == "11-19 00:00"
    assert ask(["utc", "ams"], day, "series", "day")[0][0] == "11-19 00:00"
    assert ask("ams", day, "series", "day")[0][0] == "11-18 23:00"


def test_all_groups(ask: Ask) -> None:
    day = last("1 day")
    users = ask("ams", day, by=["user"], all_groups=True, kpi="user_messages")
    assert [row[1:3] for row in users] == [(["no-record"], 1), (["there"], 0)]
    tenants = ask(["ams", "lhi", "new"], day, by=["tenant"], all_groups=True)
    assert [row[1:3] for row in tenants] == [(["ams"], 2), (["lhi"], 0), (["new"], 0)]
    series = ask("lhi", day, "series", "day", by=["tenant"], all_groups=True, kpi="nps")
    assert [row[1:] for row in series] == [(["lhi"], None, None)]
