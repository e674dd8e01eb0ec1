"""GET / for people: every KPI with its definition, its value, a line, and how to ask for it."""

import json
import re
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from flask import Response, render_template

from datasource.catalog import FAMILIES
from datasource.digits import digits
from datasource.protocol.answers import Asker
from datasource.protocol.question import EPOCH

UNITS = {"none": "", "percent": "%", "minutes": "min", "score -100..100": ""}
WIDTH, HEIGHT = 120, 32
is_plain = re.compile(r"[\w.-]+").fullmatch  # spells no list of values
Json = dict[str, Any]


def page(asker: Asker, tenant: str | None) -> Response:
    """Return the page of a tenant, by default of the one with the most messages lately."""
    found = orjson.loads(asker.request("page", {"tenant": tenant}))
    zone = ZoneInfo(found["zone"])
    kpis = [_kpi(kpi, found["tenant"], zone) for kpi in found["kpis"]]
    kpis.sort(key=lambda kpi: [*FAMILIES].index(kpi["family"]))
    families = [
        {"id": family, "title": FAMILIES[family]["en"], "kpis": list(of)}
        for family, of in groupby(kpis, itemgetter("family"))
    ]
    tenants, chosen = found["tenants"] or [], found["tenant"]
    refreshed = found["refreshed_at"]
    return rendered(
        {
            **found,
            "families": families,
            "tenants": tenants,
            "name": next((one["name"] for one in tenants if one["id"] == chosen), chosen),
            "days": next(kpi["days"] for kpi in kpis if not kpi["monthly"]),
            "refreshed": f"{local(refreshed, zone):%-d %b %Y, %H:%M}" if refreshed else "never",
            "behind": behind(found["behind"]),
        }
    )


def rendered(content: Json | None, refused: str = "", linked: str = "") -> Response:
    """Return the page, or the form that asks for a token; scripts run by its nonce only.

    `refused`: what was wrong with a token. `linked`: the one that a link has, to be confirmed.
    """
    nonce = secrets.token_urlsafe(16)
    words = {"refused": refused, "linked": linked}
    answer = Response(render_template("page.html", page=content, nonce=nonce, **words))
    # Without a referrer to this server itself, its own form would come from the origin "null".
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return answer


def local(ms: int, zone: ZoneInfo) -> datetime:
    """Return milliseconds since 1970 as a time in a zone."""
    return (EPOCH + timedelta(milliseconds=ms)).astimezone(zone)


def behind(seconds: float | None) -> str:
    """Say how far behind the numbers are."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds and seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} behind"
    return f"{seconds or 0:.0f} seconds behind"


def _kpi(kpi: Json, tenant: str | None, zone: ZoneInfo) -> Json:
    first, last = local(kpi["starts"], zone), local(kpi["ends"], zone)
    until = last - timedelta(days=1)
    days = f"{first:%-d %b} to {until:%-d %b %Y}"
    points = kpi["line"] or []
    return {
        **kpi,
        "days": days,
        "unit": UNITS.get(kpi["unit"], kpi["unit"]),
        "shown": shown(kpi["value"], kpi["unit"]),
        "line": list(lines(points)),
        "span": "Twelve months" if kpi["monthly"] else f"Daily, {days}",
        "ways": ways(kpi["id"], tenant or "", first.isoformat(), last.isoformat()),
    }


def shown(value: str, unit: str) -> str:
    """Return a number for reading: thousands apart, one decimal where it is no whole number."""
    if value == "null":
        return "–"
    return digits(Decimal(value), has_decimal=unit == "percent")


def lines(points: list[float | None]) -> Iterator[dict[str, str]]:
    """Give the unbroken pieces of a small line, each with the area between it and zero."""
    known = [point for point in points if point is not None]
    low, high = min([0, *known]), max([0, *known])
    step, scale = WIDTH / max(1, len(points) - 1), (HEIGHT - 2) / ((high - low) or 1)
    zero = HEIGHT - 1 + low * scale
    for is_known, piece in groupby(enumerate(points), lambda one: one[1] is not None):
        spots = [(i * step, zero - point * scale) for i, point in piece if point is not None]
        if len(spots) == 1:  # a point of its own is a dash
            spots = [(spots[0][0] + side, spots[0][1]) for side in (-1, 1)]
        if is_known:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            ends = f"{spots[-1][0]:.1f},{zero:.1f} {spots[0][0]:.1f},{zero:.1f}"
            yield {"line": line, "area": f"{line} {ends}"}


def ways(kpi_id: str, tenant: str, start: str, end: str) -> dict[str, str]:
    """Return what gives a KPI's number when it is pasted: into psql, into Grafana."""
    named = tenant if is_plain(tenant) else {"op": "=", "values": [tenant]}
    filters = {"tenant": named}
    as_json = json.dumps(filters, ensure_ascii=False)
    quoted = [text.replace("'", "''") for text in (kpi_id, start, end, as_json)]
    span, payload = {"from": start, "to": end}, {"shape": "total", "filters": filters}
    rows = {"kpi": kpi_id, **span, **payload}
    target = {"refId": "A", "target": kpi_id, "payload": payload}
    query = {"range": span, "targets": [target]}
    return {
        "psql": "SELECT value FROM kpi.total('{}', '{}', '{}', '{}');".format(*quoted),
        "Grafana, Infinity: POST /rows": json.dumps(rows, ensure_ascii=False),
        "Grafana, JSON: POST /query": json.dumps(query, ensure_ascii=False),
    }
