"""Questions: read, and refused when they are wrong.

In: a question as a dict, the tenants there are. Out: a `Question` with the KPI, the range as
asked, the tenants that it is about and a test per filtered dimension.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from .clock import BUCKETS, DAY, HOUR, Clock, known_zone
from .kpis import DISTRIBUTED, KPIS, Kpi
from .world import instant, text

SHAPES = ("total", "series", "table", "cumulative", "distribution")
EVERYTHING = ("*", "$__all")
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
LAST = datetime(2101, 1, 1, tzinfo=UTC)

Test = Callable[[str], bool]


class QuestionError(Exception):
    """A question that is refused, with a short code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Question:
    """A question that can be answered.

    `dates` are the first date and the date after the last one when calendar dates of the
    viewer are meant; `grain` is hour, day or month, `interval` the bucket of a series.
    """

    kpi: Kpi
    shape: str
    start: datetime
    end: datetime
    dates: tuple[date, date] | None
    viewer: Clock | None
    grain: str
    interval: str
    by: tuple[str, ...]
    tests: tuple[tuple[str, Test], ...]
    tenants: tuple[str, ...]
    compare: bool


def read_question(asked: dict, known: Iterable[str]) -> Question:
    """Read a question; `known` are the tenants that any record names."""
    if asked.get("kpi") not in KPIS:
        raise QuestionError("unknown_kpi", f"no such KPI: {asked.get('kpi')!r}")
    kpi = KPIS[asked["kpi"]]
    shape = _choice(asked, "shape", SHAPES, "series")
    compare = _choice(asked, "compare", ("previous",), "") == "previous"
    by = tuple(asked.get("by") or ())
    for dim in by:
        _check_dim(kpi, dim)
    if shape == "distribution":
        if kpi.id not in DISTRIBUTED:
            raise QuestionError("no_distribution", f"{kpi.id} has no distribution")
        if by:
            raise QuestionError("no_groups", "a distribution has no groups")
    tenant_tests, tests = _read_filters(kpi, asked)
    start, end = _read_time(asked, "from"), _read_time(asked, "to")
    if start < FIRST or end > LAST:
        raise QuestionError("far_range", "the range leaves the years 2000 to 2100")
    viewer = known_zone(asked.get("timezone"))
    dates = None
    if viewer is not None:
        start, end, dates = _meant_dates(viewer, start, end)
    if start >= end:
        raise QuestionError("empty_range", "from is not before to")
    grain, interval = _read_buckets(kpi, shape, asked, end - start)
    return Question(
        kpi=kpi,
        shape=shape,
        start=start,
        end=end,
        dates=dates,
        viewer=viewer,
        grain=grain,
        interval=interval,
        by=by,
        tests=tuple(tests),
        tenants=_choose_tenants(asked, tenant_tests, known),
        compare=compare,
    )


def _choice(asked: dict, name: str, allowed: Iterable[str], default: str) -> str:
    value = asked.get(name)
    if value is None:
        return default
    if value not in allowed:
        raise QuestionError("unknown_value", f"{name} cannot be {value!r}")
    return value


def _check_dim(kpi: Kpi, dim: str) -> None:
    if dim != "tenant" and dim not in kpi.dims:
        raise QuestionError("unknown_dim", f"{kpi.id} has no dimension {dim!r}")


# Times


def _read_time(asked: dict, name: str) -> datetime:
    value = asked.get(name)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
        return instant(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise QuestionError("bad_time", f"{name} cannot be read") from error


def _meant_dates(
    viewer: Clock, start: datetime, end: datetime
) -> tuple[datetime, datetime, tuple[date, date] | None]:
    """The range and, when both its ends are midnights of the viewer, their dates.

    An end one millisecond before a midnight is taken as that midnight.
    """
    for taken in (end, end + timedelta(milliseconds=1)):
        first, last = viewer.date_of(start), viewer.date_of(taken)
        if viewer.day_start(first) == start and viewer.day_start(last) == taken:
            return start, taken, (first, last)
    return start, end, None


def _read_buckets(kpi: Kpi, shape: str, asked: dict, elapsed: timedelta) -> tuple[str, str]:
    """The grain that the range is widened to, and the buckets of a series."""
    grain = _choice(asked, "granularity", ("day", "hour"), "")
    interval = _choice(asked, "interval", (*BUCKETS, "auto"), "auto")
    if kpi.grain == "month":
        return "month", "month"
    if grain == "hour" and elapsed > 15 * 24 * HOUR:
        raise QuestionError("too_long", "granularity hour is for up to 15 days")
    if interval == "hour" and elapsed > 100 * 24 * HOUR:
        raise QuestionError("too_long", "interval hour is for up to 100 days")
    if not grain:
        grain = "hour" if elapsed < 72 * HOUR else "day"
    if shape == "distribution":
        grain = "day"
    if interval == "auto":
        if elapsed < 72 * HOUR:
            interval = "hour"
        elif elapsed <= 92 * DAY:
            interval = "day"
        elif elapsed <= 400 * DAY:
            interval = "week"
        else:
            interval = "month"
    return grain, interval


# Filters


def _read_filters(kpi: Kpi, asked: dict) -> tuple[list[tuple[str, list[str]]], list]:
    """The filters on the tenant as (operator, values), the others as (dim, test)."""
    tenant_tests, tests = [], []
    if asked.get("tenant") is not None:
        tenant_tests.append(("=", [asked["tenant"]]))
    for dim, raw in (asked.get("filters") or {}).items():
        operator, values = read_filter(raw)
        if values is None:
            continue
        _check_dim(kpi, dim)
        if dim == "tenant":
            tenant_tests.append((operator, values))
        else:
            tests.append((dim, make_test(operator, values)))
    return tenant_tests, tests


def read_filter(raw: object) -> tuple[str, list[str] | None]:
    """A filter's operator and values; None in place of values when it filters nothing."""
    if isinstance(raw, dict):
        operator = raw.get("op")
        if operator not in ("=", "!=", "=~", "!~"):
            raise QuestionError("bad_filter", f"no such operator: {operator!r}")
        given = raw.get("values", [])
        values = [_value(v) for v in (given if isinstance(given, list) else [given])]
        return operator, values or None
    if isinstance(raw, list) and len(raw) != 1:
        values = [_value(v) for v in raw]
        if not values or any(value in EVERYTHING for value in values):
            return "=", None
        return "=", values
    if isinstance(raw, list):
        raw = raw[0]
    return "=", _spelled(_value(raw))


def _value(raw: object) -> str:
    value = raw if isinstance(raw, str) else text(raw)
    if value is None:
        raise QuestionError("bad_filter", "a filter's value is a string or a number")
    return value


def _spelled(value: str) -> list[str] | None:
    """The values that a plain string spells; what does not parse is a value itself."""
    if value in EVERYTHING:
        return None
    if value.startswith("[") and value.endswith("]"):
        values = _json_list(value)
    elif value.startswith("(") and value.endswith(")"):
        values = _alternatives(value[1:-1])
    elif value.startswith("{") and value.endswith("}"):
        values = value[1:-1].split(",")
    else:
        return [value]
    if values is None:
        return [value]
    if not values or any(one in EVERYTHING for one in values):
        return None
    return values


def _json_list(value: str) -> list[str] | None:
    try:
        parsed = json.loads(value)
    except ValueError:
        return None
    texts = [one if isinstance(one, str) else text(one) for one in parsed]
    return None if None in texts else texts  # type: ignore[return-value]


def _alternatives(inner: str) -> list[str] | None:
    """`a|b` cut at its bars; a backslash takes the next character as it is."""
    values, current, escaped = [], "", False
    for character in inner:
        if escaped:
            current, escaped = current + character, False
        elif character == "\\":
            escaped = True
        elif character == "|":
            values.append(current)
            current = ""
        else:
            current += character
    if escaped:
        return None
    return [*values, current]


def make_test(operator: str, values: list[str]) -> Test:
    """A test that a dimension's value passes an operator with any of some values."""
    if operator in ("=", "!="):
        wanted = set(values)
        if operator == "=":
            return lambda value: value in wanted
        return lambda value: value not in wanted
    patterns = []
    for value in values:
        if len(value) > 1000:
            raise QuestionError("bad_filter", "the expression is too long")
        try:
            patterns.append(re.compile(value, re.DOTALL))
        except re.error as error:
            raise QuestionError("bad_filter", "the expression cannot be read") from error
    if operator == "=~":
        return lambda value: any(pattern.fullmatch(value) for pattern in patterns)
    return lambda value: not any(pattern.fullmatch(value) for pattern in patterns)


def _choose_tenants(
    asked: dict, tests: list[tuple[str, list[str]]], known: Iterable[str]
) -> tuple[str, ...]:
    """The tenants that a question is about, of those that the asker may see."""
    named = [value for operator, values in tests if operator == "=" for value in values]
    visible = asked.get("tenants")
    if visible is None:
        visible = {*known, *named}
    for tenant in named:
        if tenant not in visible:
            raise QuestionError("forbidden", f"the tenant {tenant!r} may not be seen")
    chosen = sorted(set(visible))
    for operator, values in tests:
        test = make_test(operator, values)
        chosen = [tenant for tenant in chosen if test(tenant)]
    return tuple(chosen)
