"""The frame of a dashboard: places, variables, links, annotation, time."""

import tomllib

from datasource.grafana import panels as kinds
from datasource.grafana import queries as q
from datasource.grafana.panels import LOOKS, TENANT
from datasource.grafana.queries import Json, target
from datasource.grafana.texts import FOLDER, Words

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
    return {
        "type": "query",
        "name": name,
        "datasource": q.SOURCE,
        "query": question,
        "refresh": 1,
    } | more


def variable(words: Words, dim: str, *within: str, **more: object) -> Json:
    """A variable of a dimension's values, narrowed by other variables."""
    asked = {"dim": dim, "filters": {other: q.SCOPE[other] for other in within}}
    columns = {"__text": q.STRING, "__value": q.STRING}
    values = target("/variable", {"payload": asked}, columns)
    return query(dim, values, label=words.dim(dim), **more)


def choice(words: Words, kpis: list[str], first: list[str]) -> Json:
    """The variable `kpi`: several of these, at first some."""
    titles = {kpi: words.title(kpi) for kpi in kpis}
    texts = {
        "query": ", ".join(f"{title} : {kpi}" for kpi, title in titles.items()),
        "label": words["kpis"],
    }
    current = {"text": [titles[kpi] for kpi in first], "value": first}
    more = {"type": "custom", "name": "kpi", "current": current, "allValue": None}
    return {**LOOKS["several"], **more, **texts}


def read(words: Words, name: str) -> Json:
    """A dashboard in one language, as its file in dashboards/ describes it."""
    told = tomllib.loads((FOLDER / "dashboards" / f"{name}.toml").read_text(encoding="utf-8"))
    chosen, shown = told["choice"]["from"], set[str]()

    def row(about: Json) -> Row:
        tiles = [{"width": 6, "kind": "tile", "kpi": kpi} for kpi in about.get("tiles", [])]
        made = []
        for one in tiles + about.get("panels", []):
            arguments = {key: chosen if value == "choice" else value for key, value in one.items()}
            width, kind = arguments.pop("width"), arguments.pop("kind")
            if "title" in arguments:
                arguments["title"] = words[arguments["title"]]
            shown.update([arguments.get("kpi", ""), *arguments.get("kpis", [])])
            made.append((width, getattr(kinds, kind)(words, **arguments)))
        return about["height"], made

    rows = [
        heading(words[about["heading"]]) if "heading" in about else row(about)
        for about in told["rows"]
    ]
    others = [
        kpi_id
        for kpi_id, kpi in words.catalog.kpis.items()
        if kpi.family == told["family"] and kpi_id not in shown
    ]
    rows.append(heading(words["advanced"], row({"height": 4, "tiles": others})))
    variables = [variable(words, *dims, **LOOKS["several"]) for dims in told["variables"]]
    return dashboard(
        words,
        name,
        told["family"],
        grid(*rows),
        *variables,
        choice(words, chosen, told["choice"]["first"]),
    )


def dashboard(words: Words, name: str, family: str, panels: list[Json], *variables: Json) -> Json:
    """A dashboard; `name` is its uid's end, and names its title and description in the texts."""
    uid, tags = f"chatkpi-{words.language}-{name.replace('_', '-')}", ["chatkpi", words.language]
    for number, one in enumerate([p for row in panels for p in (row, *row.get("panels", []))], 1):
        one["id"] = number
    ranges = [{"from": a, "to": b, "display": words[k]} for k, (a, b) in LOOKS["ranges"].items()]
    source = LOOKS["source"] | {"label": words["source"], "query": q.PLUGIN}
    tenant = variable(words, "tenant")  # one, for the others' ids are unique within a tenant only
    first = target(
        "/rows", {"list": "range", "filters": TENANT}, {"first": q.STRING}, **LOOKS["first"]
    )
    learn = f"{q.PROXY}/?tenant=${{tenant:percentencode}}"  # the server's page of all KPIs
    links = [
        {"type": "dashboards", "title": words["sisters"], "tags": tags, "asDropdown": True},
        {"title": words["entire"], "url": f"/d/{uid}?from=${{first}}&to=now", "keepTime": False},
        {"title": words["learn"], "url": learn, "targetBlank": True},
    ]
    year = target(
        "/annotations",
        {"range": q.SPAN, "filters": TENANT},
        {"time": q.TIME, "title": q.STRING, "text": q.STRING},
        ref="Anno",
    )
    change = {
        "name": words["year"],
        "enable": True,
        "hide": True,
        "target": year,
        "iconColor": LOOKS["colours"]["previous"],
        "datasource": q.SOURCE,
    }
    return {
        "uid": uid,
        "title": words[name],
        "description": words[f"{name}_about"],
        "tags": [*tags, family],
        **LOOKS["dashboard"],
        "time": {"from": ranges[0]["from"], "to": ranges[0]["to"]},
        "timepicker": {"quick_ranges": ranges},
        "annotations": {"list": [change]},
        "templating": {"list": [source, tenant, *variables, query("first", first, hide=2)]},
        "links": [{"type": "link", "keepTime": True, "includeVars": True} | one for one in links],
        "panels": panels,
    }
