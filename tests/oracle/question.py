"""Questions: read, and refused when they are wrong.

In: a question as a dict, the tenants there are. Out: a `Question` with the KPI, the range as
asked, the tenants that it is about and a test per filtered dimension. Beside the fields of a
request a question may have `tenant`, the one that is asked about, and `tenants`, all that the
asker may see. `from` and `to` may be dates (2026-10-01): those of each tenant's own calendar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from .clock import BUCKETS, DAY, HOUR, TICK, Clock, clock, known_zone
from .kpis import DISTRIBUTED, KPIS, Kpi
from .world import instant, text

SHAPES = ("total", "series", "table", "cumulative", "distribution")
FIELDS = (
    *("kpi", "shape", "from", "to", "last", "timezone", "interval", "granularity"),
    *("by", "filters", "compare", "all_groups", "tenant", "tenants"),
)
#: The dimensions that are entities, which can be listed without having anything.
ENTITY_DIMS = (
    *("experience", "folder", "module", "location", "department"),
    *("inbox", "channel", "user", "bot", "tenant"),
)
EVERYTHING = ("*", "$__all")
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
LAST = datetime(2101, 1, 1, tzinfo=UTC)

#: The characters of regular expressions, which Grafana escapes with a backslash.
ESCAPED = re.compile(r"\\([\\^$*+?.()|\[\]{}/])")
LAST_TEXT = re.compile(r"([1-9][0-9]*) (hour|day|week|month)s?")

Test = Callable[[str], bool]


class QuestionError(Exception):
    """A question that is refused, with a short code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Last:
    """So many whole hours, days, weeks or months before the one that holds now."""

    number: int
    unit: str

    def ends(self, clock: Clock, now: datetime) -> tuple[datetime, datetime]:
        """Where the range begins and ends by a clock."""
        start = end = clock.start(self.unit, now)
        for _ in range(self.number):
            start = clock.start(self.unit, start - TICK)
        return start, end


@dataclass(frozen=True)
class AskedRange:
    """The range as asked: as instants (`start`, `end`), as `dates`, or as `last`.

    `dates` are the first date and the date after the last one.
    """

    start: datetime | None = None
    end: datetime | None = None
    dates: tuple[date, date] | None = None
    last: Last | None = None

    def ends(self, clock: Clock, now: datetime) -> tuple[datetime, datetime]:
        """Where the range begins and ends by a clock, before it is cut or widened."""
        if self.last is not None:
            return self.last.ends(clock, now)
        if self.dates is not None:
            return clock.day_start(self.dates[0]), clock.day_start(self.dates[1])
        assert self.start is not None and self.end is not None
        return self.start, self.end

    def length(self, clocks: list[Clock], now: datetime) -> timedelta:
        """The elapsed time of the range: by the clock that all tenants have, else by UTC."""
        if self.start is not None and self.end is not None:
            return self.end - self.start
        names = {each.name for each in clocks}
        common = clocks[0] if len(names) == 1 else clock("UTC")
        start, end = self.ends(common, now)
        return end - start


@dataclass(frozen=True)
class Question:
    """A question that can be answered.

    `grain` is hour, day or month, `interval` the bucket of a series; `compare` is previous,
    usual or empty.
    """

    kpi: Kpi
    shape: str
    range: AskedRange
    viewer: Clock | None
    grain: str
    interval: str
    by: tuple[str, ...]
    tests: tuple[tuple[str, Test], ...]
    tenants: tuple[str, ...]
    compare: str
    all_groups: bool


def read_question(
    asked: dict, known: Iterable[str], clock_of: Callable[[str], Clock], now: datetime
) -> Question:
    """Read a question; `known` are the tenants that any record names, each with its clock."""
    for name in asked:
        if name not in FIELDS:
            raise QuestionError("unknown_field", f"no such field: {name!r}")
    if asked.get("kpi") not in KPIS:
        raise QuestionError("unknown_kpi", f"no such KPI: {asked.get('kpi')!r}")
    kpi = KPIS[asked["kpi"]]
    shape = _choice(asked, "shape", SHAPES, "series")
    compare = _choice(asked, "compare", ("previous", "usual"), "")
    if compare == "usual" and kpi.grain == "month":
        raise QuestionError("no_usual", "a month has no usual value")
    by = _read_by(kpi, shape, asked)
    tenant_tests, tests = _read_filters(kpi, asked)
    viewer = known_zone(asked.get("timezone"))
    range_asked = _read_range(asked, viewer)
    tenants = _choose_tenants(asked, tenant_tests, known)
    length = range_asked.length([clock_of(name) for name in tenants], now)
    grain, interval = _read_buckets(kpi, shape, asked, range_asked, length)
    return Question(
        kpi=kpi,
        shape=shape,
        range=range_asked,
        viewer=viewer,
        grain=grain,
        interval=interval,
        by=by,
        tests=tuple(tests),
        tenants=tenants,
        compare=compare,
        all_groups=bool(asked.get("all_groups")),
    )


def _read_by(kpi: Kpi, shape: str, asked: dict) -> tuple[str, ...]:
    """The dimensions to group by, each once."""
    by = tuple(dict.fromkeys(asked.get("by") or ()))
    for dim in by:
        _check_dim(kpi, dim)
    if shape == "distribution":
        if kpi.id not in DISTRIBUTED:
            raise QuestionError("no_distribution", f"{kpi.id} has no distribution")
        if by:
            raise QuestionError("no_groups", "a distribution has no groups")
    if asked.get("all_groups"):
        beside_tenant = [dim for dim in by if dim != "tenant"]
        if not by or len(beside_tenant) > 1 or any(dim not in ENTITY_DIMS for dim in by):
            raise QuestionError("no_all_groups", "all groups are those of one kind of entity")
    return by


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


def _read_range(asked: dict, viewer: Clock | None) -> AskedRange:
    """The range as asked, in one of its forms."""
    if asked.get("last") is not None:
        return _read_last(asked)
    dates = [_read_date(asked.get(name)) for name in ("from", "to")]
    if dates[0] is not None and dates[1] is not None:
        if dates[0] >= dates[1]:
            raise QuestionError("empty_range", "from is not before to")
        if dates[0] < FIRST.date() or dates[1] > LAST.date():
            raise QuestionError("far_range", "the range leaves the years 2000 to 2100")
        return AskedRange(dates=(dates[0], dates[1]))
    start, end = _read_time(asked, "from"), _read_time(asked, "to")
    if start < FIRST or end > LAST:
        raise QuestionError("far_range", "the range leaves the years 2000 to 2100")
    meant = None
    if viewer is not None:
        start, end, meant = _meant_dates(viewer, start, end)
    if start >= end:
        raise QuestionError("empty_range", "from is not before to")
    return AskedRange(start, end, meant)


def _read_last(asked: dict) -> AskedRange:
    """A range that is given as `last`."""
    if asked.get("from") is not None or asked.get("to") is not None:
        raise QuestionError("two_ranges", "last stands in place of from and to")
    match = LAST_TEXT.fullmatch(str(asked["last"]))
    if match is None:
        raise QuestionError("bad_last", f"last cannot be {asked['last']!r}")
    return AskedRange(last=Last(int(match[1]), match[2]))


def _read_date(value: object) -> date | None:
    """A calendar date, None when it is something else."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _read_time(asked: dict, name: str) -> datetime:
    """An instant: a datetime, RFC 3339, or milliseconds."""
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


def _read_buckets(
    kpi: Kpi, shape: str, asked: dict, given: AskedRange, length: timedelta
) -> tuple[str, str]:
    """The grain that the range is widened to, and the buckets of a series."""
    grain = _choice(asked, "granularity", ("day", "hour"), "")
    interval = _choice(asked, "interval", (*BUCKETS, "auto"), "auto")
    if kpi.grain == "month":
        return "month", "month"
    if given.last is not None:
        grain = "hour" if given.last.unit == "hour" else "day"
    if grain == "hour" and length > 15 * 24 * HOUR:
        raise QuestionError("too_long", "granularity hour is for up to 15 days")
    if interval == "hour" and length > 100 * 24 * HOUR:
        raise QuestionError("too_long", "interval hour is for up to 100 days")
    if not grain:
        grain = "hour" if length < 72 * HOUR else "day"
    if shape == "distribution":
        grain = "day"
    if interval == "auto":
        interval = _auto_interval(length)
    return grain, interval


def _auto_interval(length: timedelta) -> str:
    """The buckets of a series over a range of some elapsed time."""
    if length < 72 * HOUR:
        return "hour"
    if length <= 92 * DAY:
        return "day"
    if length <= 400 * DAY:
        return "week"
    return "month"


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
    """The values that a plain string spells; what does not parse is a value itself.

    One that Grafana may have escaped means the value as written, or the one without backslashes.
    """
    if value in (*EVERYTHING, ".*"):
        return None
    if value.startswith("[") and value.endswith("]"):
        values = _json_list(value)
    elif value.startswith("(") and value.endswith(")"):
        values = _alternatives(value[1:-1])
    elif value.startswith("{") and value.endswith("}"):
        values = value[1:-1].split(",")
    else:
        values = None
    if values is None:
        return list(dict.fromkeys((value, ESCAPED.sub(r"\1", value))))
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
