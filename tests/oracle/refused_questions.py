"""Questions that must be refused, each made from a good one by one fault."""

from __future__ import annotations

import random
from collections.abc import Callable

from .kpis import DISTRIBUTED, KPIS


def refused(rng: random.Random, question: dict, info: list[dict]) -> dict:
    """The question with one fault that the rules name."""
    fault = rng.choice(FAULTS)
    left = {
        name: value
        for name, value in question.items()
        if name not in ("by", "compare", "all_groups")
    }
    fault(rng, left, info)
    if fault in WITH_A_RANGE:
        left.pop("last", None)
    return left


def _backward(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A range that ends before it starts, or where it starts."""
    start = "2026-02-03T04:05:06Z"
    end = rng.choice((start, "2026-02-03T04:05:05.999999Z", "2025-02-03T00:00:00Z"))
    question.update({"from": start, "to": end})


def _long_hours(rng: random.Random, question: dict, info: list[dict]) -> None:
    """Hours over too long a range."""
    question.update({"kpi": "messages", "filters": {}, "shape": "series", "interval": "day"})
    if rng.random() < 0.5:
        question["granularity"] = "hour"
        question.update({"from": "2026-01-01T00:00:00Z", "to": "2026-01-16T00:00:00.001Z"})
    else:
        question["interval"] = "hour"
        question.pop("granularity", None)
        question.update({"from": "2025-12-01T00:00:00Z", "to": "2026-03-11T01:00:00Z"})


def _foreign_dim(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A dimension that the KPI does not have."""
    dims = sorted({dim for kpi in KPIS.values() for dim in kpi.dims})
    foreign = [dim for dim in dims if dim not in KPIS[question["kpi"]].dims]
    if rng.random() < 0.5 and question["shape"] != "distribution":
        question["by"] = [rng.choice(foreign)]
    else:
        question["filters"] = {**question.get("filters", {}), rng.choice(foreign): "x"}


def _no_distribution(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A distribution of a KPI that has none."""
    others = [kpi for kpi in KPIS if kpi not in DISTRIBUTED]
    question.update({"shape": "distribution", "kpi": rng.choice(others), "filters": {}})
    question.pop("interval", None)


def _unknown(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A KPI, interval, granularity or operator that does not exist."""
    name, value = rng.choice(
        (("kpi", "message"), ("interval", "year"), ("granularity", "week"), ("filters", None))
    )
    question[name] = value if value else {"tenant": {"op": "<", "values": ["x"]}}


def _far(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A range beyond the years 2000 to 2100."""
    question.pop("granularity", None)
    question.pop("interval", None)
    start, end = rng.choice(
        (
            ("1999-12-31T23:59:59Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "2101-01-01T00:00:01Z"),
        )
    )
    question.update({"from": start, "to": end})
    question.pop("timezone", None)


def _forbidden(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A tenant that the asker may not see."""
    names = [tenant["id"] for tenant in info]
    rng.shuffle(names)
    question.pop("filters", None)
    question["tenants"] = sorted(names[1:])
    question["tenant"] = names[0]


def _broken_expression(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A regular expression that cannot be read."""
    question["filters"] = {"tenant": {"op": "=~", "values": ["("]}}


def _far_usual(rng: random.Random, question: dict, info: list[dict]) -> None:
    """The usual value of more than seven days, or of a month."""
    fault = rng.choice(
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-10T00:00:00Z"}, {"kpi": "mecs"})
    )
    question.update({"kpi": "messages", "shape": "total", "compare": "usual", "filters": {}})
    question.update(fault)
    question.pop("interval", None)
    question.pop("last", None)


def _bad_last(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A `last` that cannot be read, or beside the range that it stands for."""
    range_fields = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-10T00:00:00Z"}
    spoiled = rng.choice(
        (
            {"last": "0 days"},
            {"last": "7"},
            {"last": "1.5 days"},
            {"last": "2 years"},
            {"last": "-1 day"},
            {"last": "1 day", **range_fields},
            {"last": "1 day", "to": range_fields["to"]},
        )
    )
    for name in ("from", "to", "granularity"):
        question.pop(name, None)
    question.update(spoiled)


def _no_all_groups(rng: random.Random, question: dict, info: list[dict]) -> None:
    """All groups of what is no single entity."""
    by = rng.choice(([], ["device"], ["channel", "inbox"], ["tenant", "device"]))
    question.update({"kpi": "messages", "shape": "total", "filters": {}, "by": by})
    question["all_groups"] = True
    question.pop("interval", None)


def _unknown_field(rng: random.Random, question: dict, info: list[dict]) -> None:
    """A field that does not exist."""
    question[rng.choice(("filter", "groupby", "time_zone", "allgroups", "start"))] = rng.choice(
        ({}, [], "UTC", True)
    )


FAULTS: tuple[Callable[[random.Random, dict, list[dict]], None], ...] = (
    _backward,
    _long_hours,
    _foreign_dim,
    _no_distribution,
    _unknown,
    _far,
    _forbidden,
    _broken_expression,
    _far_usual,
    _bad_last,
    _no_all_groups,
    _unknown_field,
)
#: Those that give the question a range of its own.
WITH_A_RANGE = (_backward, _long_hours, _far, _far_usual)
