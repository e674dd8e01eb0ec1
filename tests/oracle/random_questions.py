"""Random questions that cover, in pairs, what can be asked of every KPI.

`describe(oracle)` tells what there is to ask for, `questions(seed, described, n)` gives n
questions: a covering of all pairs of KPI, shape, range, interval, grouping, filter, choice of
tenants, granularity and comparison first, random ones after, a few to be refused among them.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta

from .clock import HOUR, clock
from .kpis import DISTRIBUTED, KPIS, Kpi
from .oracle import Oracle
from .pairwise import Row, covering
from .question import ENTITY_DIMS
from .random_ranges import random_dates, random_last, random_range
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
        *("none", "one", "escaped", "list", "json", "bars", "braces", "values", "all", "two"),
        *("no", "not", "not_no", "like", "unlike"),
    ],
    "tenants": ["one", "several", "every", "not", "like"],
    "granularity": ["none", "hour", "day"],
    "compare": ["no", "previous", "usual"],
    "range": ["asked", "last", "dates"],
    "groups": ["found", "all"],
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
    if not _shape_may_meet(row, kpi):
        return False
    if row.get("range") == "last" and row.get("granularity", "none") != "none":
        return False  # `last` brings its own
    if row.get("groups") == "all" and row.get("by") in ("none", "two"):
        return False
    if row.get("range") == "dates" and not _sql_can_ask(row):
        return False
    return kpi is None or _dims_may_meet(row, kpi)


def _sql_can_ask(row: Row) -> bool:
    """Whether kpi.total and kpi.series, which alone take dates, can ask for a row."""
    return row.get("compare", "no") == "no" and row.get("groups", "found") == "found"


def _shape_may_meet(row: Row, kpi: Kpi | None) -> bool:
    """Whether a row's shape goes with its KPI and the rest."""
    shape, compared = row.get("shape"), row.get("compare", "no")
    if shape == "distribution":
        if kpi and kpi.id not in DISTRIBUTED:
            return False
        if row.get("by", "none") != "none" or compared != "no" or row.get("groups") == "all":
            return False
    if compared == "usual" and kpi and kpi.grain == "month":
        return False
    return shape not in ("total", "distribution") or row.get("interval", "none") == "none"


def _dims_may_meet(row: Row, kpi: Kpi) -> bool:
    """Whether a KPI has the dimensions that a row groups and filters by."""
    by, filtered, dims = row.get("by", "none"), row.get("filter", "none"), len(kpi.dims)
    if by in OWN and OWN.index(by) >= dims:
        return False
    if dims < {"two": 2, "tenant_own": 1}.get(by, 0):
        return False
    if row.get("groups") == "all":
        if by in OWN and kpi.dims[OWN.index(by)] not in ENTITY_DIMS:
            return False
        if by == "tenant_own" and not set(kpi.dims) & set(ENTITY_DIMS):
            return False
    return dims >= {"none": 0, "two": 2}.get(filtered, 1)


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
        if row["by"] in ("none", "two"):
            row["groups"] = "found"
        if row["range"] == "last":
            row["granularity"] = "none"
        if rng.random() < 0.5:
            row["tenants"] = "one"
        if may_meet(row):
            return row


def _question(rng: random.Random, row: Row, info: list[dict], now: datetime) -> dict:
    """The question that a row stands for."""
    kpi = KPIS[row["kpi"]]
    question: dict = {"kpi": kpi.id, "shape": row["shape"]}
    for name, nothing in (("interval", "none"), ("granularity", "none"), ("compare", "no")):
        if row[name] != nothing:
            question[name] = row[name]
    if row["groups"] == "all":
        question["all_groups"] = True
    filters: dict = {}
    chosen = _tenants(rng, row, info, question, filters, now)
    hits = [(tenant, *hit) for tenant in chosen for hit in tenant["hits"][kpi.id]]
    if hits and rng.random() < 0.9:
        first, near, dims = rng.choice(hits)
    else:
        first = rng.choice(chosen)
        near, dims = rng.choice(first["instants"]), {}
    together = all(hours_meet(tenant, first, now) for tenant in chosen)
    lengths = _lengths(rng, row, together or "tenant" in row["by"])
    question.update(_range(rng, row["range"], near, first["zone"], now, *lengths))
    beside_tenant = kpi.dims
    if row["groups"] == "all":
        beside_tenant = tuple(dim for dim in kpi.dims if dim in ENTITY_DIMS)
    by = _by(rng, row["by"], kpi.dims, beside_tenant)
    if by:
        question["by"] = by
    values = {dim: sorted({hit[2][dim] for hit in hits}) for dim in kpi.dims}
    _filter(rng, row["filter"], values, dims, filters)
    if filters:
        question["filters"] = filters
    return question


def _range(
    rng: random.Random,
    form: str,
    near: datetime,
    zone: str,
    now: datetime,
    shortest: timedelta,
    longest: timedelta,
) -> dict:
    """The range of a question in one of its forms."""
    if form == "last" and longest > shortest:
        return {"last": random_last(rng, longest)}
    if form == "dates" and longest >= timedelta(days=1):
        return random_dates(rng, near, zone, shortest, longest)
    return random_range(rng, near, zone, now, shortest, longest)


def hours_meet(one: dict, other: dict, now: datetime) -> bool:
    """Whether the hours of two tenants begin together now."""
    apart = clock(one["zone"]).offset(now) - clock(other["zone"]).offset(now)
    return apart % HOUR == timedelta(0)


def _lengths(rng: random.Random, row: Row, together: bool) -> tuple[timedelta, timedelta]:
    """The shortest and the longest range that a question allows.

    `together` tells that hours, if it comes to them, can be answered.
    """
    shortest, longest = timedelta(0), timedelta(days=450)
    # A month KPI takes any range, whatever else is asked.
    if KPIS[row["kpi"]].grain == "month":
        return shortest, longest
    if row["compare"] == "usual":
        longest = timedelta(days=rng.choice((1, 2, 6, 6, 7)))
    if row["shape"] in ("series", "cumulative"):
        if row["interval"] == "hour":
            # Rarely as long as it may be: there are many points then.
            days = 100 if rng.random() < 0.02 else rng.choice((4, 10))
            longest = min(longest, timedelta(days=days))
        elif row["interval"] in ("none", "auto") and not together and rng.random() < 0.95:
            shortest = 72 * HOUR  # less would ask for hours
            longest = max(longest, timedelta(days=6))
    if row["granularity"] == "hour":
        longest = min(longest, 15 * 24 * HOUR)
    return shortest, longest


# Tenants


def _tenants(
    rng: random.Random,
    row: Row,
    info: list[dict],
    question: dict,
    filters: dict,
    now: datetime,
) -> list[dict]:
    """Choose the tenants, say so in the question, and give them."""
    form = row["tenants"]
    one = rng.choice(info)
    hours = row["interval"] == "hour" and row["shape"] in ("series", "cumulative")
    apart = "tenant" in row["by"] or KPIS[row["kpi"]].grain == "month"
    if hours and not apart and rng.random() < 0.97:
        alike = [tenant for tenant in info if hours_meet(tenant, one, now)]
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


def _by(
    rng: random.Random, level: str, dims: tuple[str, ...], beside_tenant: tuple[str, ...]
) -> list[str]:
    """The dimensions to group by; those `beside_tenant` may stand beside the tenant."""
    if level in OWN:
        return [dims[OWN.index(level)]]
    if level == "two":
        return rng.sample(dims, 2)
    if level == "tenant":
        return ["tenant"]
    if level == "tenant_own":
        return rng.sample(["tenant", rng.choice(beside_tenant)], 2)
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


def grafana_escaped(value: str) -> str:
    """A single value as Grafana's variables give it: with a backslash before some characters."""
    return "".join(f"\\{each}" if each in "\\^$*+?.()|[]{}/" else each for each in value)


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
    """The filter itself; a value that its form cannot spell stands in a list with its operator."""
    if form == "one" and not spells(value):
        return int(value) if value.isdigit() and rng.random() < 0.3 else value
    if form in ("list", "json", "bars", "braces"):
        spelled = _list_of_values(rng, form, some)
        if spelled is not None:
            return spelled
    if form == "all":
        return rng.choice(("*", "$__all", ".*", [], ["*"], ["$__all", value]))
    if form == "escaped":
        return grafana_escaped(value)
    if form == "no":
        return rng.choice((nothing, [nothing, value]))
    if form == "not":
        return {"op": "!=", "values": [value]}
    if form == "not_no":
        return {"op": "!=", "values": [nothing]}
    if form in ("like", "unlike"):
        return _expressions(rng, form, value, some)
    return {"op": "=", "values": some if form in ("values", "two") else [value]}


def _list_of_values(rng: random.Random, form: str, some: list[str]) -> object:
    """Several values in one of their spellings, None when they do not fit into it."""
    if form == "list":
        return some
    if form == "json":
        return json.dumps(some, ensure_ascii=rng.random() < 0.5)
    if form == "bars":
        inner = "|".join("".join(f"\\{c}" if c in "\\|()" else c for c in v) for v in some)
        return rng.choice((f"({inner})", [f"({inner})"]))
    if any(c in v for v in some for c in ",{}"):
        return None
    return "{" + ",".join(some) + "}"


def _expressions(rng: random.Random, form: str, value: str, some: list[str]) -> object:
    """Regular expressions that the value must match, or must not."""
    start = escaped(value[:1])
    patterns = [rng.choice((escaped(value), f"{start}.*", "no .*", f"{start}.|zz", ".."))]
    if rng.random() < 0.3:
        patterns.append(escaped(some[-1]))
    return {"op": "=~" if form == "like" else "!~", "values": patterns}
