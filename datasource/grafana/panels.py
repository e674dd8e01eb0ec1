"""Panels as plain dicts: what each shows; `looks.toml` says how, `dashboard.grid` where."""

import tomllib
from collections.abc import Sequence
from typing import Any

from datasource.grafana import queries as q
from datasource.grafana.queries import NUMBER, STRING, TIME, Json, ask
from datasource.grafana.texts import FOLDER, Words

LOOKS = tomllib.loads((FOLDER / "looks.toml").read_text(encoding="utf-8"))
TENANT = {"tenant": q.SCOPE["tenant"]}
UNITS = {"minutes": ("suffix: min", 1), "percent": ("percent", 1)}


def panel(words: Words, kind: str, kpis: Sequence[str], targets: list[Json], **more: Any) -> Json:
    """A panel on these KPIs; `options`, `fields` and `overrides` go over its type's looks.

    Its title, if `more` has none, is the first KPI's.
    """
    looks = LOOKS[kind]
    unit, decimals = UNITS.get(words.catalog.kpis[kpis[0]].unit if kpis else "", ("locale", 0))
    fields = {"noValue": words["nothing"], "unit": unit, "decimals": decimals}
    return {
        "type": kind,
        "title": words.title(kpis[0]) if kpis else "",
        "description": words.about(*kpis),
        "targets": targets,
        "datasource": q.SOURCE,
        "links": [q.export(words, kpi, words.title(kpi), targets[0]) for kpi in kpis],
        "options": looks["options"] | more.pop("options", {}),
        "fieldConfig": {
            "defaults": fields | looks.get("fields", {}) | more.pop("fields", {}),
            "overrides": more.pop("overrides", []),
        },
    } | more


def override(field: str, colour: str = "", **properties: Any) -> Json:
    """Properties of the field of this name; `__` in a property's name stands for a dot."""
    properties |= {"color": {"mode": "fixed", "fixedColor": colour}} if colour else {}
    return {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": k.replace("__", "."), "value": v} for k, v in properties.items()],
    }


def named(words: Words, kpis: Sequence[str]) -> list[Json]:
    """Overrides that give the fields called by KPIs' ids their titles and colours."""
    return [override(kpi, LOOKS["colours"][kpi], displayName=words.title(kpi)) for kpi in kpis]


def renamed(field: str, texts: dict[str, str], colours: dict[str, str]) -> list[Json]:
    """Overrides that show texts in place of a field's values, and the rows in their colours."""
    mapped = {value: {"text": text, "index": n} for n, (value, text) in enumerate(texts.items())}
    return [
        override(field, mappings=[{"type": "value", "options": mapped}]),
        *(override(text, colours[value]) for value, text in texts.items()),
    ]


def bands(colours: dict[str, str]) -> Json:
    """Colouring by thresholds: `base`, and others from a value on."""
    at = [{"color": c, "value": None if v == "base" else float(v)} for v, c in colours.items()]
    return {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": at}}


def tint(colour: str) -> str:
    """The colour that, a quarter opaque, looks like `colour` on white and stays calm on dark."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{max(0, 4 * part - 3 * 255):02x}" for part in parts) + "40"


def order(*names: str) -> Json:
    """The transformation that puts the fields in this order."""
    places = {name: place for place, name in enumerate(names)}
    return {"id": "organize", "options": {"indexByName": places}}


def tile(words: Words, kpi: str) -> Json:
    """A number on a tint and its change from the period before."""
    tints = LOOKS["tints"].get(kpi, LOOKS["tints"]["other"])
    fields = bands({value: tint(colour) for value, colour in tints.items()})
    nothing = {"text": words["none"], "color": tint(LOOKS["tints"]["other"]["base"])}
    fields["mappings"] = [{"type": "special", "options": {"match": "null", "result": nothing}}]
    asked = ask(words, kpi, "total", {"value": NUMBER, "previous": NUMBER}, compare="previous")
    change = words.catalog.kpis[kpi].counting != "score"  # which has no meaningful percentage
    return panel(
        words,
        "stat",
        [kpi],
        [asked],
        fields=fields,
        options={"showPercentChange": change},
        transformations=LOOKS["change"],
        description=words.about(kpi) + f"\n\n{words['compared']}" * change,
    )


def lines(
    words: Words, kpis: Sequence[str], shape: str = "series", chosen: bool = False, **more: Any
) -> Json:
    """KPIs over time, or those that the variable `kpi` names; a frame goes by its KPI's id."""
    if chosen:
        names = {"id": "filterByRefId", "options": {"include": "/^(?:${kpi:pipe})$/"}}
        more["transformations"] = [names]
    targets = [
        ask(words, kpi, shape, {"time": TIME, f"value:{kpi}": NUMBER}, ref=kpi, format="timeseries")
        for kpi in kpis
    ]
    return panel(words, "timeseries", kpis, targets, overrides=named(words, kpis), **more)


def against_before(words: Words, kpi: str) -> Json:
    """A KPI over time and, dashed, the period of the same length before it."""
    columns = {"time": TIME, f"value:{kpi}": NUMBER, "previous": NUMBER}
    made = lines(
        words,
        [kpi],
        title=words["with_before"].format(words.title(kpi)),
        transformations=[order("time", kpi, "previous")],
    )
    made["targets"] = [ask(words, kpi, "series", columns, compare="previous", format="timeseries")]
    made["fieldConfig"]["overrides"].append(
        override(
            "previous",
            LOOKS["colours"]["previous"],
            displayName=words["before"],
            custom__fillOpacity=0,
            custom__lineStyle={"fill": "dash", "dash": [6, 5]},
        )
    )
    return made


def totals(words: Words, looks: str, kpis: Sequence[str], **more: Any) -> Json:
    """Totals of KPIs: bars in this order, or shares of a ring."""
    asked = ask(words, " ".join(kpis), "total", dict.fromkeys(kpis, NUMBER))
    turned = LOOKS[looks].get("turned", [])  # to a row a KPI
    texts = {kpi: words.title(kpi) for kpi in kpis}
    overrides = renamed("Field", texts, LOOKS["colours"]) if turned else named(words, kpis)
    return panel(
        words,
        looks,
        kpis,
        [asked],
        overrides=overrides,
        transformations=[order(*kpis), *turned],
        **more,
    )


def months(words: Words, kpi: str) -> Json:
    """A KPI of grain month in the last year, as bars under the months' names."""
    asked = ask(words, kpi, "series", {"time": NUMBER, f"value:{kpi}": NUMBER})
    month = override("month", unit="time:YYYY-MM")
    return panel(
        words,
        "barchart",
        [kpi],
        [asked],
        timeFrom="12M",
        options={"xField": "month", "colorByField": "", "xTickLabelRotation": -45},
        overrides=[*named(words, [kpi]), month],
        transformations=LOOKS["months"],
    )


def groups(words: Words, kpi: str, dim: str, colours: str = "", **more: Any) -> Json:
    """The KPI's total a group, the largest first: a ring in these colours, without them bars."""
    tints = LOOKS.get(colours, {})
    asked = ask(words, kpi, "total", {dim: STRING, "value": NUMBER}, by=[dim])
    largest = {"id": "sortBy", "options": {"sort": [{"field": "value", "desc": True}]}}
    kind = "piechart" if tints else "bargauge"
    values = LOOKS["piechart"]["options"]["reduceOptions"]
    texts = renamed(dim, {value: words[value] for value in tints}, tints)
    return panel(
        words,
        kind,
        [kpi],
        [asked],
        options={"reduceOptions": values},
        overrides=texts if tints else [override("value", LOOKS["colours"][kpi])],
        transformations=[largest],
        **more,
    )


def data_as_of(words: Words) -> Json:
    """Which time the numbers hold, and for how long a load has been waiting to get into them."""
    ends = dict.fromkeys(("first", "last"), NUMBER)
    whole = q.target("/rows", {"list": "range", "filters": TENANT}, ends)
    waiting = q.target("/rows", {"list": "freshness"}, {"behind": NUMBER}, ref="B")
    made = panel(words, "stat", [], [whole, waiting], description=words["data_about"])
    made["options"] |= LOOKS["data_as_of"]
    made["fieldConfig"]["overrides"] = [
        override(n, displayName=words[f"data_{n}"], unit=u) for n, u in LOOKS["units"].items()
    ]
    return made


def scores(words: Words, kpi: str) -> Json:
    """How often each score was given, in its segment's colour; scores that nobody gave too."""
    given = ask(words, kpi, "total", {"score": NUMBER, "value": NUMBER}, by=["score"])
    columns = dict.fromkeys(("score", "segment", "value"), NUMBER)
    zeros = q.target("", {}, columns, "zeros", source="inline", data=LOOKS["zeros"])
    unseen = dict.fromkeys(("viz", "legend", "tooltip"), True)
    segment = {"custom__hideFrom": unseen, **bands(LOOKS["bands"]["segment (max)"])}
    return panel(
        words,
        "barchart",
        [kpi],
        [given, zeros],
        transformations=LOOKS["scores"],
        overrides=[
            override("value (sum)", displayName=words.title("nps_answers")),
            override("segment (max)", **segment),
        ],
    )


def answers(words: Words) -> Json:
    """The answers with a text, newest first; each segment's can be downloaded."""
    kpi = "nps_answers"
    columns = {"time": TIME, "score": NUMBER, "text": STRING}
    titles = {"time": words["time"], "score": words.dim("score"), "text": words["text"]}
    body = {"list": kpi, **q.SPAN, "filters": q.scope(words, kpi)}
    asked = q.target("/rows", body, columns)
    segments = [
        q.export(words, kpi, words.title(f"nps_{name}"), asked, f"&segment={name}")
        for name in ("detractors", "passives", "promoters")
    ]
    overrides = [
        override(name, displayName=title, **LOOKS["answers"][name])
        for name, title in titles.items()
    ]
    return panel(
        words,
        "table",
        [kpi],
        [asked],
        links=segments,
        transformations=[order(*columns)],
        overrides=[override("score", **bands(LOOKS["bands"]["score"])), *overrides],
    )
