"""Previous and usual values of the oracle against ones worked out by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from . import Oracle, QuestionError
from .clock import clock
from .kpis import KPIS
from .random_questions import describe, questions
from .random_records import NOWS, tenants

AMSTERDAM = {"type": "tenant", "id": "t", "timezone": "Europe/Amsterdam"}


def message(at: str, number: int = 1, **fields: object) -> list[dict]:
    """So many messages at one instant, in a conversation."""
    event = {"type": "message", "tenant": "t", "at": at, "from": "contact", "conversation": "v"}
    return [{**event, "id": f"{fields} {at} {each}", **fields} for each in range(number)]


def daily(first: str, days: int, zone: str = "Europe/Amsterdam") -> list[dict]:
    """A message on the first date, two on the next, and so on, at noon."""
    local = clock(zone)
    begin = datetime.fromisoformat(first).date()
    records = []
    for number in range(days):
        noon = local.day_start(begin + timedelta(days=number)) + timedelta(hours=12)
        records += message(noon.isoformat(), number + 1)
    return records


def ask(
    records: list[dict], start: str, end: str, now: str = "2027-06-01T00:00:00Z", **fields: object
) -> list[dict]:
    """The answer of messages, compared with the previous ones unless said otherwise."""
    oracle = Oracle(records, datetime.fromisoformat(now))
    asked = {"kpi": "messages", "from": start, "to": end, "compare": "previous", **fields}
    return oracle.answer({"shape": "total", **asked})


def compared(rows: list[dict], name: str = "previous") -> list[tuple[Any, Any]]:
    """Each point's value and the one it is compared with."""
    (row,) = rows
    assert [at for at, _ in row["points"]] == [at for at, _ in row[name]]
    return [
        (value, before) for (_, value), (_, before) in zip(row["points"], row[name], strict=True)
    ]


# By months


def test_october_is_held_against_all_of_september() -> None:
    records = [AMSTERDAM, *daily("2026-09-01", 61)]  # the 1st of October is the 31st date
    october = ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")
    september = sum(range(1, 31))
    assert ask(records, *october) == [{"value": sum(range(31, 62)), "previous": september}]
    days = compared(ask(records, *october, shape="series", interval="day"))
    # The 31st has no date of September: its part is left empty.
    assert days == [(30 + day, day) for day in range(1, 31)] + [(61, None)]
    weeks = compared(ask(records, *october, shape="series", interval="week"))
    assert [before for _, before in weeks] == [
        sum(range(1, 5)),
        sum(range(5, 12)),
        sum(range(12, 19)),
        sum(range(19, 26)),
        sum(range(26, 31)),
    ]
    grown = compared(ask(records, *october, shape="cumulative", interval="week"))
    assert grown[-1] == (sum(range(31, 62)), september)
    assert grown[1][1] == sum(range(1, 12))


def test_february_is_held_against_all_of_january() -> None:
    records = [AMSTERDAM, *daily("2026-01-01", 59)]
    february = ("2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z")
    days = compared(ask(records, *february, shape="series", interval="day"))
    assert days[:27] == [(31 + day, day) for day in range(1, 28)]
    assert days[27:] == [(59, 28 + 29 + 30 + 31)]
    assert ask(records, *february)[0]["previous"] == sum(range(1, 32))


def test_march_is_held_against_28_days() -> None:
    records = [AMSTERDAM, *daily("2026-02-01", 59)]
    march = ("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z")
    days = compared(ask(records, *march, shape="series", interval="day"))
    assert [before for _, before in days] == [*range(1, 29), None, None, None]
    grown = compared(ask(records, *march, shape="cumulative", interval="day"))
    assert [before for _, before in grown[27:]] == [sum(range(1, 29))] * 4


def test_two_months_are_moved_by_two() -> None:
    records = [AMSTERDAM, *daily("2026-05-01", 123)]
    july_and_august = ("2026-06-30T22:00:00Z", "2026-08-31T22:00:00Z")
    assert ask(records, *july_and_august)[0]["previous"] == sum(range(1, 62))


@pytest.mark.parametrize(
    ("now", "previous"),
    [
        ("2026-03-15T11:30:00Z", sum(range(1, 15)) + 15),  # until 13:00 of the 15th
        ("2026-03-15T10:59:00Z", sum(range(1, 15))),  # until 12:00, noon is not in it
        ("2026-03-31T10:30:00Z", sum(range(1, 29))),  # February has no 31st: all of it
        ("2026-03-01T13:30:00Z", 28),  # one date only: against yesterday until 15:00
    ],
)
def test_this_month_so_far(now: str, previous: int) -> None:
    records = [AMSTERDAM, *daily("2026-02-01", 28)]
    month = ("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z")
    if "03-01" in now:  # less than 72 hours are widened to hours
        month = ("2026-02-28T23:00:00Z", "2026-03-02T23:00:00Z")
        assert ask(records, *month, now=now)[0]["previous"] == previous
        return
    if "03-31" in now:
        assert ask(records, *month, now=now)[0]["previous"] == previous
        return
    # Rule 2 widens a month to days: only asked by hours it ends with the hour.
    begin = "2026-02-28T23:00:00Z"
    assert ask(records, begin, now, now=now, granularity="day")[0]["previous"] == sum(range(1, 16))
    assert ask(records, begin, now, now=now, granularity="hour")[0]["previous"] == previous


def test_a_month_ago_this_month_so_far_is_so_many_days() -> None:
    records = [AMSTERDAM, *daily("2026-02-01", 59)]
    # The first 15 days of March, long after: 15 days before them.
    first_half = ("2026-02-28T23:00:00Z", "2026-03-15T23:00:00Z")
    assert ask(records, *first_half)[0]["previous"] == sum(range(14, 29))


def test_months_of_a_month_kpi() -> None:
    records = [AMSTERDAM]
    for contact, at in (("a", "2026-02-03T10:00:00Z"), ("b", "2026-01-03T10:00:00Z")):
        records += message(at, contact=contact)
    records += message("2026-02-04T10:00:00Z", contact="c")
    (row,) = ask(records, "2026-02-10T10:00:00Z", "2026-02-10T11:00:00Z", kpi="mecs")
    assert row == {"value": 2, "previous": 1}


# By days and hours


def test_26_october_is_held_against_all_25_hours_of_the_25th() -> None:
    records = [AMSTERDAM]
    for hour in range(25):
        at = datetime.fromisoformat("2026-10-24T22:30:00Z") + timedelta(hours=hour)
        records += message(at.isoformat())
    day = ("2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z")
    assert ask(records, *day)[0]["previous"] == 25
    hours = compared(ask(records, *day, shape="series", interval="hour"))
    assert [before for _, before in hours] == [1, 1, 2, *[1] * 21]


def test_25_october_is_held_against_the_24_hours_of_the_24th() -> None:
    records = [AMSTERDAM]
    for hour in range(24):
        at = datetime.fromisoformat("2026-10-23T22:30:00Z") + timedelta(hours=hour)
        records += message(at.isoformat())
    day = ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
    hours = compared(ask(records, *day, shape="series", interval="hour"))
    # From 2 o'clock to 2 o'clock nothing is left, the next hour has the one there was.
    assert [before for _, before in hours] == [1, 1, None, 1, *[1] * 21]
    assert ask(records, *day)[0]["previous"] == 24


def test_hours_around_the_one_left_out() -> None:
    records = [AMSTERDAM]
    for hour in range(23):
        at = datetime.fromisoformat("2026-03-28T23:30:00Z") + timedelta(hours=hour)
        records += message(at.isoformat())
    monday = ("2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z")
    hours = compared(ask(records, *monday, shape="series", interval="hour"))
    assert [before for _, before in hours] == [1, 1, None, *[1] * 21]
    assert ask(records, *monday)[0]["previous"] == 23


def test_today_so_far_is_held_against_yesterday_until_then() -> None:
    records = [AMSTERDAM, *message("2026-11-19T12:59:59Z"), *message("2026-11-19T13:00:00Z")]
    records += message("2026-11-18T23:00:00Z") + message("2026-11-18T22:59:59Z")
    today = ("2026-11-19T23:00:00Z", "2026-11-20T23:00:00Z")
    assert ask(records, *today, now="2026-11-20T12:30:00Z") == [{"value": 0, "previous": 2}]


def test_a_week_is_held_against_the_week_before() -> None:
    records = [AMSTERDAM, *daily("2026-03-16", 21)]
    # The week from 23 to 29 March has 167 hours.
    week = ("2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z")
    days = compared(ask(records, *week, shape="series", interval="day"))
    assert days == [(7 + day, day) for day in range(1, 8)]


def test_hours_from_the_middle_of_a_day_are_moved_by_hours() -> None:
    records = [AMSTERDAM, *message("2026-10-24T20:30:00Z"), *message("2026-10-25T00:30:00Z")]
    # Ten o'clock until noon of the 25th, and the two hours before.
    (row,) = ask(records, "2026-10-25T02:00:00Z", "2026-10-25T04:00:00Z")
    assert row == {"value": 0, "previous": 1}
    hours = compared(ask(records, "2026-10-25T02:00:00Z", "2026-10-25T04:00:00Z", shape="series"))
    assert hours == [(0, 1), (0, 0)]


def test_half_an_hour_is_an_hour_of_its_own() -> None:
    # In Lord Howe the clock went from 2:00 back to 1:30 at 15:00 UTC.
    records = [{"type": "tenant", "id": "t", "timezone": "Australia/Lord_Howe"}]
    records += message("2026-04-04T14:30:00Z") + message("2026-04-04T15:10:00Z", 2)
    (row,) = ask(records, "2026-04-04T15:30:00Z", "2026-04-04T17:30:00Z", shape="series")
    assert [value for _, value in row["previous"]] == [1, 2]


def test_each_tenant_is_moved_by_its_own_clock() -> None:
    # The month is Amsterdam's; New York has 30 September to 31 October in it: 32 days.
    records = [AMSTERDAM, {"type": "tenant", "id": "n", "timezone": "America/New_York"}]
    records += message("2026-08-31T22:00:00Z") + message("2026-08-31T21:59:00Z")
    records += message("2026-08-29T04:00:00Z", tenant="n")
    records += message("2026-08-29T03:59:00Z", tenant="n")
    october = ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")
    assert ask(records, *october) == [{"value": 0, "previous": 2}]
    # By days New York's 30 September, its own, stands first.
    (row,) = ask(records, *october, shape="series", interval="day")
    assert len(row["points"]) == 32
    assert row["previous"][0] == ["2026-09-30T00:00:00Z", 1]
    assert row["previous"][1] == ["2026-10-01T00:00:00Z", 1]
    # 31 October of Amsterdam has none, but New York's was 29 September.
    assert row["previous"][31] == ["2026-10-31T00:00:00Z", 0]
    asked: dict[str, Any] = {"shape": "series", "interval": "day", "by": ["tenant"]}
    records += message("2026-10-02T12:00:00Z") + message("2026-10-02T12:00:00Z", tenant="n")
    last = {
        row["dims"]["tenant"]: row["previous"][31][1] for row in ask(records, *october, **asked)
    }
    assert last == {"t": None, "n": 0}


def test_groups_are_those_of_the_range() -> None:
    records = [AMSTERDAM, *message("2026-11-19T12:00:00Z", channel="web")]
    records += message("2026-11-18T12:00:00Z", channel="mail")
    rows = ask(records, "2026-11-18T23:00:00Z", "2026-11-19T23:00:00Z", by=["channel"])
    assert rows == [{"dims": {"channel": "web"}, "value": 1, "previous": 0}]


def test_a_ratio_without_a_previous_is_null() -> None:
    records = [AMSTERDAM, *message("2026-11-19T12:00:00Z", contact="k", experience="x")]
    (row,) = ask(records, "2026-11-18T23:00:00Z", "2026-11-19T23:00:00Z", kpi="bounce_rate")
    assert row == {"value": 0, "previous": None}


def test_a_range_in_the_future_has_nothing_before_it() -> None:
    records = [AMSTERDAM, *message("2026-11-19T12:00:00Z")]
    future = ("2026-11-20T23:00:00Z", "2026-11-21T23:00:00Z")
    assert ask(records, *future, now="2026-11-20T12:30:00Z") == [{"value": 0, "previous": 0}]


# Usual


def weekly(days: int, *numbers: int) -> list[dict]:
    """So many messages at 12:30 UTC on days 7, 14, … before 19 November, some days shifted."""
    records = []
    for week, number in enumerate(numbers, 1):
        at = datetime.fromisoformat("2026-11-19T12:30:00Z") - timedelta(days=7 * week + days)
        records += message(at.isoformat(), number)
    return records


THURSDAY = ("2026-11-18T23:00:00Z", "2026-11-19T23:00:00Z")


def usual(records: list[dict], **fields: object) -> Any:
    """The usual value of that Thursday."""
    (row,) = ask([AMSTERDAM, *records], *THURSDAY, **{"compare": "usual", **fields})
    return row["usual"]


def test_usual_is_the_mean_of_four_weeks() -> None:
    assert usual(weekly(0, 1, 2, 4, 5, 100)) == 3
    # A day beside the weekday is another day, but tells that the tenant was there.
    assert usual(weekly(0, 1, 2) + weekly(1, 0, 0, 0, 1)) == 0.75


def test_usual_begins_with_the_first_event() -> None:
    # Three weeks: the fourth begins before the first event's day.
    assert usual(weekly(0, 1, 2, 6)) == 3
    # The first event, of whatever type, opens its day.
    visit = {"type": "visit", "tenant": "t", "id": "0", "at": "2026-10-22T21:59:00Z"}
    assert usual(weekly(0, 1, 2, 6) + [visit]) == 2.25
    assert usual(weekly(0, 1, 2)) == 1.5
    assert usual(weekly(0, 1)) is None
    assert usual([]) is None


def test_usual_of_today_ends_with_the_hour() -> None:
    records = weekly(0, 4, 4, 4, 4)
    now = {"now": "2026-11-19T12:15:00Z"}
    # Until 14:00, as it is now: on 22 October, in summer time, 12:30 UTC is past that.
    assert usual(records, **now) == 3
    now = {"now": "2026-11-19T11:15:00Z"}
    assert usual(records, **now) == 0


def test_usual_keeps_the_clock_time_over_a_change() -> None:
    # 22 October is still summer time: 13:30 there is 11:30 UTC.
    records = weekly(0, 2, 2, 2) + message("2026-10-22T10:59:00Z", 6)
    rows = ask([AMSTERDAM, *records], *THURSDAY, compare="usual", shape="series")
    values = [value for _, value in rows[0]["usual"]]
    assert (values[12], values[13], len(values)) == (1.5, 1.5, 24)
    assert sum(values) == usual(records) == 3


def test_usual_of_what_had_nothing() -> None:
    records = weekly(0, 1, 1, 1, 1)
    records += message("2026-11-19T12:30:00Z", channel="web")
    (row,) = ask([AMSTERDAM, *records], *THURSDAY, compare="usual", by=["channel"])
    assert row == {"dims": {"channel": "web"}, "value": 1, "usual": 0}
    # A ratio of nothing is left out of the mean.
    sessions = []
    for week, sender in ((1, "bot"), (3, "contact")):
        day = datetime.fromisoformat("2026-11-19T12:30:00Z") - timedelta(days=7 * week)
        fields = {"contact": "k", "experience": "x", "from": sender}
        sessions += message(day.isoformat(), **fields)
    old = message("2026-10-01T12:00:00Z")
    assert usual(old + sessions, kpi="bounce_rate") == 50
    assert usual(old + sessions[:1], kpi="bounce_rate") is None


def test_usual_of_several_tenants_is_added_up() -> None:
    records = weekly(0, 1, 2, 4, 5)
    records += [{**record, "tenant": "b"} for record in weekly(0, 4, 6)]
    records += [{**record, "tenant": "young"} for record in weekly(0, 9)]
    records += [{**AMSTERDAM, "id": name} for name in ("b", "young")]
    assert usual(records) == 3 + 5


def test_usual_is_for_seven_days() -> None:
    records = [AMSTERDAM, *daily("2026-09-01", 80)]
    seven = ("2026-11-12T23:00:00Z", "2026-11-19T23:00:00Z")
    # 13 to 19 November are the 74th to the 80th date; each week before has 7 less a day.
    (row,) = ask(records, *seven, compare="usual")
    assert row == {"value": sum(range(74, 81)), "usual": 539 - 7 * (7 + 14 + 21 + 28) / 4}
    with pytest.raises(QuestionError):
        ask(records, "2026-11-11T23:00:00Z", seven[1], compare="usual")
    # What counts is the range that is used, after now's limit.
    (row,) = ask(
        records,
        "2026-11-18T23:00:00Z",
        "2026-12-10T23:00:00Z",
        now="2026-11-19T13:00:00Z",
        compare="usual",
    )
    assert row["value"] == 80
    with pytest.raises(QuestionError):
        ask(records, *seven, compare="usual", kpi="mecs")


# Random questions


@pytest.mark.parametrize("number", range(0, len(NOWS), 4))
def test_parts_add_up_to_the_moved_range(number: int) -> None:
    now = NOWS[number]
    oracle = Oracle(tenants(number, 5, now), now)
    checked = 0
    for question in questions(number, describe(oracle), 400, now):
        question = {**question, "compare": "previous"}
        if "from" in question and len(question["from"]) == 10:
            continue
        try:
            totals = oracle.answer({**question, "shape": "total"})
            grown = oracle.answer({**question, "shape": "cumulative"})
            single = oracle.answer({**question, "shape": "series"})
        except QuestionError:
            continue
        for total, cumulated, series in zip(totals, grown, single, strict=True):
            if not series["points"]:
                continue
            assert cumulated["previous"][-1][1] == total["previous"], question
            if KPIS[question["kpi"]].how in ("count", "sum"):
                parts = [value for _, value in series["previous"]]
                assert sum(value or 0 for value in parts) == (total["previous"] or 0), question
                checked += any(parts)
    assert checked > 5
