"""Random questions that cover, in pairs, what can be asked of every KPI.

`describe(oracle)` tells what there is to ask for, `questions(seed, described, n)` gives n
questions: a covering of all pairs of KPI, shape, interval, grouping, filter, choice of
tenants, granularity and comparison first, random ones after, a few to be refused among them.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta

from .clock import HOUR
from .kpis import DISTRIBUTED, KPIS
from .oracle import Oracle
from .pairwise import Row, covering
from .random_ranges import random_range
from .random_records import NOW
from .refused_questions import refused

OWN = [f"own{position}" for position in range(7)]
#: The level that a factor has when a question leaves it alone comes first.
FACTORS: dict[str, list[str]] = {
    "kpi": list(KPIS),
    "shape": ["total", "series", "cumulative", "distribution"],
    "interval": ["none", "hour", "day", "week", "month", "auto"],
    "by": ["none", *OWN, "two", "tenant", "tenant_own"],
    "filter": [
        *("none", "one", "list", "json", "bars", "braces", "values", "all", "two"),
        *("no", "not", "not_no", "like", "unlike"),
    ],
    "tenants": ["one", "several", "every", "not", "like"],
    "granularity": ["none", "hour", "day"],
    "compare": ["no", "previous"],
}


def describe(oracle: Oracle) -> list[dict]:
    """What can be asked per tenant: `id`, `zone`, `instants` of its events, and under `hits`
    by KPI what it counts, as instants with dims."""
    found = []
    for name in sorted(oracle.world):
        tenant = oracle.tenant(name)
        found.append(
            {
                "id": name,
                "zone": tenant.clock.name,
                "instants": [event.at for event in tenant.events],
                "hits": {
                    kpi: [(hit.at, hit.dims) for hit in oracle.kpi_hits(name, kpi)] for kpi in KPIS
                },
            }
        )
    return found


def may_meet(row: Row) -> bool:
    """Whether the levels of a row, of some or all factors, make a question to be answered."""
    kpi = KPIS.get(row.get("kpi", ""))
    shape, by, filtered = row.get("shape"), row.get("by", "none"), row.get("filter", "none")
    if shape == "distribution":
        if kpi and kpi.id not in DISTRIBUTED:
            return False
        if by != "none" or row.get("compare", "no") != "no":
            return False
    if shape in ("total", "distribution") and row.get("interval", "none") != "none":
        return False
    if kpi is None:
        return True
    dims = len(kpi.dims)
    if by in OWN and OWN.index(by) >= dims:
        return False
    if dims < {"two": 2, "tenant_own": 1}.get(by, 0):
        return False
    if filtered == "two" and dims < 2:
        return False
    return filtered == "none" or dims >= 1


def questions(seed: int, tenants_info: list[dict], n: int, now: datetime = NOW) -> list[dict]:
    """n questions about the described tenants, the same ones for the same seed."""
    rng = random.Random(f"questions/{seed}")
    asked: list[dict] = []
    for row in covering(rng, FACTORS, may_meet):
        asked.append(_question(rng, row, tenants_info, now))
    rng.shuffle(asked)
    while len(asked) < n:
        if rng.random() < 0.03:
            base = _question(rng, _random_row(rng), tenants_info, now)
            asked.append(refused(rng, base, tenants_info))
        else:
            asked.append(_question(rng, _random_row(rng), tenants_info, now))
    return asked[:n]


def _random_row(rng: random.Random) -> Row:
    """A row of random levels that go together."""
    while True:
        row = {name: rng.choice(levels) for name, levels in FACTORS.items()}
        if row["shape"] in ("total", "distribution"):
            row["interval"] = "none"
        if row["shape"] == "distribution":
            row.update({"kpi": rng.choice(DISTRIBUTED), "by": "none", "compare": "no"})
        if rng.random() < 0.5:
            row["tenants"] = "one"
        if may_meet(row):
            return row


def _question(rng: random.Random, row: Row, info: list[dict], now: datetime) -> dict:
    """The question that a row stands for."""
    kpi = KPIS[row["kpi"]]
    question: dict = {"kpi": kpi.id, "shape": row["shape"]}
    if row["interval"] != "none":
        question["interval"] = row["interval"]
    if row["granularity"] != "none":
        question["granularity"] = row["granularity"]
    if row["compare"] == "previous":
        question["compare"] = "previous"
    filters: dict = {}
    chosen = _tenants(rng, row, info, question, filters)
    hits = [(tenant, *hit) for tenant in chosen for hit in tenant["hits"][kpi.id]]
    if hits and rng.random() < 0.9:
        first, near, dims = rng.choice(hits)
    else:
        first = rng.choice(chosen)
        near, dims = rng.choice(first["instants"]), {}
    shortest, longest = _lengths(rng, row, {tenant["zone"] for tenant in chosen})
    question.update(random_range(rng, near, first["zone"], now, shortest, longest))
    by = _by(rng, row["by"], kpi.dims)
    if by:
        question["by"] = by
    values = {dim: sorted({hit[2][dim] for hit in hits}) for dim in kpi.dims}
    _filter(rng, row["filter"], values, dims, filters)
    if filters:
        question["filters"] = filters
    return question


def _lengths(rng: random.Random, row: Row, zones: set[str]) -> tuple[timedelta, timedelta]:
    """The shortest and the longest range that a question allows."""
    shortest, longest = timedelta(0), timedelta(days=450)
    # A month KPI takes any range, whatever else is asked.
    if KPIS[row["kpi"]].grain == "month":
        return shortest, longest
    if row["shape"] in ("series", "cumulative"):
        if row["interval"] == "hour":
            # Rarely as long as it may be: there are many points then.
            longest = timedelta(days=100 if rng.random() < 0.02 else rng.choice((4, 10)))
        elif row["interval"] in ("none", "auto") and len(zones) > 1 and rng.random() < 0.95:
            shortest = 72 * HOUR  # less would ask for hours, which need a shared zone
    if row["granularity"] == "hour":
        longest = min(longest, 15 * 24 * HOUR)
    return shortest, longest


# Tenants


def _tenants(
    rng: random.Random, row: Row, info: list[dict], question: dict, filters: dict
) -> list[dict]:
    """Choose the tenants, say so in the question, and give them."""
    form = row["tenants"]
    one = rng.choice(info)
    hours = row["interval"] == "hour" and row["shape"] in ("series", "cumulative")
    if hours and KPIS[row["kpi"]].grain is None and rng.random() < 0.97:
        # Hours need a shared zone.
        alike = [tenant for tenant in info if tenant["zone"] == one["zone"]]
    else:
        alike = info
    if form == "one" or len(alike) < 2:
        if rng.random() < 0.5:
            question["tenant"] = one["id"]
        else:
            spellings = (one["id"], [one["id"]], {"op": "=", "values": [one["id"]]})
            filters["tenant"] = rng.choice(spellings)
        return [one]
    several = rng.sample(alike, rng.randint(2, min(4, len(alike))))
    names = [tenant["id"] for tenant in several]
    if form == "several":
        filters["tenant"] = names
        return several
    if form == "every":
        question["tenants"] = sorted(names)
        return several
    if form == "not":
        # Of what the asker may see, one is left out, sometimes all.
        question["tenants"] = sorted(names)
        out = names if rng.random() < 0.1 else names[:1]
        filters["tenant"] = {"op": "!=", "values": out}
        return [tenant for tenant in several if tenant["id"] not in out] or several
    patterns = [escaped(name) for name in names]
    filters["tenant"] = {"op": "=~", "values": patterns}
    if rng.random() < 0.3:
        question["tenants"] = sorted(names)
        filters["tenant"] = {"op": "=~", "values": [f"{escaped(names[0][:2])}.*"]}
    return several


# Groups and filters


def _by(rng: random.Random, level: str, dims: tuple[str, ...]) -> list[str]:
    if level in OWN:
        return [dims[OWN.index(level)]]
    if level == "two":
        return rng.sample(dims, 2)
    if level == "tenant":
        return ["tenant"]
    if level == "tenant_own":
        return rng.sample(["tenant", rng.choice(dims)], 2)
    return []


def spells(value: str) -> bool:
    """Whether a plain string of this value could be read as more than the value."""
    return value in ("*", "$__all") or value[:1] in ("(", "{", "[")


def escaped(value: str) -> str:
    """A regular expression that matches the value alone, in any dialect."""
    return "".join(
        f"\\{character}" if character.isascii() and not character.isalnum() else character
        for character in value
    )


def _filter(
    rng: random.Random,
    form: str,
    values: dict[str, list[str]],
    dims: dict[str, str],
    filters: dict,
) -> None:
    """Add a filter of a form, on values that occur, mostly those of a hit in the range."""
    if form == "none":
        return
    chosen = rng.sample(list(values), 2 if form == "two" else 1)
    for dim in chosen:
        known = values[dim] or ["zz"]
        value = rng.choice(known)
        if dim in dims and rng.random() < 0.85:
            value = dims[dim]
        others = [other for other in known if other != value] or ["nothing like it"]
        some = [value, *rng.sample(others, min(len(others), rng.randint(1, 2)))]
        rng.shuffle(some)
        if form in ("not", "unlike"):
            value = others[0]
        nothing = "no touchpoint" if dim == "channel" else f"no {dim}"
        filters[dim] = _spelled_filter(rng, form, value, some, nothing)


def _spelled_filter(
    rng: random.Random, form: str, value: str, some: list[str], nothing: str
) -> object:
    """The filter itself."""
    if form == "one" and not spells(value):
        return int(value) if value.isdigit() and rng.random() < 0.3 else value
    if form == "list":
        return some
    if form == "json":
        return json.dumps(some, ensure_ascii=rng.random() < 0.5)
    if form == "bars":
        inner = "|".join("".join(f"\\{c}" if c in "\\|()" else c for c in v) for v in some)
        return rng.choice((f"({inner})", [f"({inner})"]))
    if form == "braces" and not any(c in v for v in some for c in ",{}"):
        return "{" + ",".join(some) + "}"
    if form == "all":
        return rng.choice(("*", "$__all", [], ["*"], ["$__all", value]))
    if form == "no":
        return rng.choice((nothing, [nothing, value]))
    if form == "not":
        return {"op": "!=", "values": [value]}
    if form == "not_no":
        return {"op": "!=", "values": [nothing]}
    if form in ("like", "unlike"):
        start = escaped(value[:1])
        patterns = [rng.choice((escaped(value), f"{start}.*", "no .*", f"{start}.|zz", ".."))]
        if rng.random() < 0.3:
            patterns.append(escaped(some[-1]))
        return {"op": "=~" if form == "like" else "!~", "values": patterns}
    return {"op": "=", "values": some if form in ("values", "two") else [value]}
