"""The frame of a dashboard: places, variables, links, annotation, time."""

from datasource.grafana import queries as q
from datasource.grafana.panels import LOOKS, override, panel
from datasource.grafana.queries import Json, target
from datasource.grafana.texts import Words

TENANT = {"tenant": q.SCOPE["tenant"]}
Row = tuple[int, list[tuple[int, Json]]]


def grid(*rows: Row) -> list[Json]:
    """Panels in their places, from rows of (height, [(width, panel), …]), lines of 24."""
    placed, y = [], 0
    for height, panels in rows:
        x = 0
        for width, one in panels:
            place = {"x": x % 24, "y": y + x // 24 * height, "w": width, "h": height}
            placed.append({"gridPos": place, **one})
            x += width
        y += -(-x // 24) * height
    return placed


def heading(title: str, *hidden: Row) -> Row:
    """A line with a title; rows of panels given here are shown when it is opened."""
    collapsed = {"collapsed": bool(hidden), "panels": grid(*hidden)}
    return 1, [(24, {"type": "row", "title": title, **collapsed})]


def query(name: str, asked: Json, **more: object) -> Json:
    """A variable that the server answers."""
    question = {"queryType": "infinity", "refId": "variable", "infinityQuery": asked}
    return {"type": "query", "name": name, "datasource": q.SOURCE, "query": question,
            "refresh": 1} | more


def variable(words: Words, dim: str, *within: str, **more: object) -> Json:
    """A variable of a dimension's values, narrowed by other variables."""
    asked = {"dim": dim, "filters": {other: q.SCOPE[other] for other in within}}
    columns = {"__text": q.STRING, "__value": q.STRING}
    values = target("/variable", {"payload": asked}, columns)
    return query(dim, values, label=words.dim(dim), **more)


def choice(name: str, label: str, options: dict[str, str], chosen: list[str]) -> Json:
    """A variable of several of the options (value → text)."""
    texts = {"query": ", ".join(f"{text} : {key}" for key, text in options.items()), "label": label}
    current = {"text": [options[key] for key in chosen], "value": chosen}
    more = {"type": "custom", "name": name, "current": current, "allValue": None}
    return {**LOOKS["several"], **more, **texts}


def dashboard(words: Words, name: str, family: str, panels: list[Json], *variables: Json) -> Json:
    """A dashboard; `name` is its uid's end, and names its title and description in the texts."""
    uid, tags = f"chatkpi-{words.language}-{name.replace('_', '-')}", ["chatkpi", words.language]
    for number, one in enumerate([p for row in panels for p in (row, *row.get("panels", []))], 1):
        one["id"] = number
    ranges = [{"from": a, "to": b, "display": words[k]} for k, (a, b) in LOOKS["ranges"].items()]
    source = LOOKS["source"] | {"label": words["source"], "query": q.PLUGIN}
    tenant = variable(words, "tenant")  # one, for the others' ids are unique within a tenant only
    first = target("/rows", {"list": "range", "filters": TENANT}, {"first": q.STRING},
                   root_selector=LOOKS["first"])
    links = [
        {"type": "dashboards", "title": words["sisters"], "tags": tags, "asDropdown": True},
        {"title": words["entire"], "url": f"/d/{uid}?from=${{first}}&to=now", "keepTime": False},
        {"title": words["learn"], "url": f"{q.PROXY}/", "targetBlank": True},
    ]
    year = target("/annotations", {"range": q.SPAN, "filters": TENANT},
                  {"time": q.TIME, "title": q.STRING, "text": q.STRING}, ref="Anno")
    change = {"name": words["year"], "enable": True, "hide": True, "target": year,
              "iconColor": LOOKS["colours"]["previous"], "datasource": q.SOURCE}
    return {
        "uid": uid, "title": words[name], "description": words[f"{name}_about"],
        "tags": [*tags, family], **LOOKS["dashboard"],
        "time": {"from": ranges[0]["from"], "to": ranges[0]["to"]},
        "timepicker": {"quick_ranges": ranges}, "annotations": {"list": [change]},
        "templating": {"list": [source, tenant, *variables, query("first", first, hide=2)]},
        "links": [{"type": "link", "keepTime": True, "includeVars": True} | one for one in links],
        "panels": panels,
    }


def data_as_of(words: Words) -> Json:
    """Which time the numbers hold, and for how long a load has been waiting to get into them."""
    ends = dict.fromkeys(("first", "last"), q.NUMBER)
    whole = target("/rows", {"list": "range", "filters": TENANT}, ends)
    waiting = target("/rows", {"list": "freshness"}, {"behind": q.NUMBER}, ref="B")
    made = panel(words, "stat", "", [], [whole, waiting], description=words["data_about"])
    made["options"] |= LOOKS["data_as_of"]
    made["fieldConfig"]["overrides"] = [
        override(n, displayName=words[f"data_{n}"], unit=u) for n, u in LOOKS["units"].items()]
    return made
