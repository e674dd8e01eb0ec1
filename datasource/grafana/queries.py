"""Questions to the server, as targets of the Infinity data source's back end."""

import json
import re
from typing import Any

from datasource.grafana.texts import Words

Json = dict[str, Any]

PLUGIN = "yesoreyeram-infinity-datasource"
PROXY = "/api/datasources/proxy/uid/${datasource}"  # Grafana's way to the server keeps the token
SOURCE = {"type": PLUGIN, "uid": "${datasource}"}
# The dimensions that the dashboards' variables narrow.
SCOPE = {
    "tenant": "${tenant:doublequote}",
    "folder": "${folder:json}",
    "experience": "${experience:json}",
}
SPAN = {"from": "${__timeFrom}", "to": "${__timeTo}", "timezone": "${__timezone}"}
NUMBER, STRING, TIME = "number", "string", "timestamp_epoch"


def target(url: str, body: Json, columns: dict[str, str], ref: str = "A", **more: Any) -> Json:
    """A POST of `body`; `columns` are the types of `selector` or `selector:name`."""
    # Variables in these formats bring their own brackets and quotes.
    data = re.sub(r'"(\$\{\w+:(json|doublequote)\})"', r"\1", json.dumps(body))
    post = {"method": "POST", "body_type": "raw", "body_content_type": "application/json"}
    # All typed, for a column that is all null would become a string.
    typed = [(*column.split(":"), kind) for column, kind in columns.items()]
    return {
        "refId": ref,
        "datasource": SOURCE,
        "type": "json",
        "parser": "backend",
        "source": "url",
        "format": "table",
        "url": url,
        "url_options": post | {"data": data},
        "root_selector": "",
        "columns": [{"selector": t[0], "text": t[-2], "type": t[-1]} for t in typed],
    } | more


def scope(words: Words, *kpis: str) -> Json:
    """The filters of the variables, as far as every KPI has the dimension."""
    dims = [{"tenant", *words.catalog.kpis[kpi].dims} for kpi in kpis]
    return {dim: chosen for dim, chosen in SCOPE.items() if all(dim in has for has in dims)}


def ask(words: Words, kpi: str, shape: str, columns: dict[str, str], **more: Any) -> Json:
    """A question about a KPI, or several separated by blanks, over the range and the variables.

    `by` and `compare` go into the question, the rest of `more` beside it.
    """
    kpis = kpi.split()
    named = {"kpi": kpi} if len(kpis) == 1 else {"kpis": kpis}
    body = {**named, **SPAN, "shape": shape, "filters": scope(words, *kpis)}
    body |= {key: more.pop(key) for key in ("by", "compare") if key in more}
    return target("/rows", body, columns, **more)


def export(words: Words, kpi: str, title: str, asked: Json, more: str = "") -> Json:
    """A panel's link to a CSV file of what a target asks, for one of its KPIs."""
    like = re.findall(r'"(shape|by|compare)": \[?"(\w+)"', asked["url_options"]["data"])
    where = [("where", f"{dim}=${{{dim}:percentencode}}") for dim in scope(words, kpi)]
    fields = "".join(f"&{name}={value}" for name, value in [*like, *where])
    span = "from=${__from}&to=${__to}&timezone=${__timezone}"
    url = f"{PROXY}/export/{kpi}.csv?{span}{fields}{more}"
    return {"title": words["csv"].format(title), "url": url, "targetBlank": True}
