"""The frame of a dashboard: places and ids of its panels, variables, links, annotation, time."""

import json
from collections.abc import Iterable, Sequence

from datasource.catalog import LANGUAGES
from datasource.grafana.panels.base import Panel, panel_number
from datasource.grafana.panels.tables import Picker, others
from datasource.grafana.panels.tiles import Tile
from datasource.grafana.question import (
    ALL,
    FROM,
    PLUGIN,
    PROXY,
    SOURCE,
    TENANT,
    TO,
    ZONE,
    Column,
    Json,
    Question,
    Variable,
    target,
    text,
)
from datasource.grafana.scene import RANGES, Scene, uid
from datasource.grafana.spec import Choice, Filter, Row
from datasource.grafana.strict import SpecError
from datasource.grafana.words import KpiId, Words

START = "start"
HIDDEN, IN_MENU = 2, 3  # where a variable has its picker: nowhere, in the menu ⋮ of the controls


def panels_of(row: Row, others: Sequence[str] = ()) -> list[Panel]:
    """Return the panels of a row, in their order: its tiles, then its own, then the others'."""
    tiles = [Tile(key=kpi, width=6, kpi=kpi) for kpi in row.tiles]
    more = [Tile(key=kpi, width=6, kpi=KpiId(kpi)) for kpi in others if row.others]
    return [*tiles, *row.panels, *more]


def placed(scene: Scene, panels: Iterable[Panel], height: int, top: int) -> tuple[list[Json], int]:
    """Return panels in their places, lines of 24 from `top` on, and where the last line ends."""
    made: list[Json] = []
    left, bottom, line, before = 0, top, top, None
    for panel in panels:
        tall = panel.height or height
        if panel.under and before:
            place = before | {"y": before["y"] + before["h"], "h": tall}
        else:
            if left + panel.width > 24:
                left, line = 0, bottom
            place = {"x": left, "y": line, "w": panel.width, "h": tall}
            left += panel.width
        before, bottom = place, max(bottom, place["y"] + tall)
        made.append({"id": panel_number(panel.key), "gridPos": place, **panel.build(scene)})
    return made, bottom


def all_panels(scene: Scene) -> list[Json]:
    """Return the dashboard's panels and the lines that head them."""
    found: list[Json] = []
    top, remaining = 0, others(scene)
    for row in scene.board.rows:
        if row.heading:
            place = {"x": 0, "y": top, "w": 24, "h": 1}
            title = scene.words[row.heading]
            found.append(
                {
                    "type": "row",
                    "id": panel_number(f"heading {row.heading}"),
                    "title": title,
                    "gridPos": place,
                    "collapsed": row.closed,
                    "panels": [],
                }
            )
            top += 1
        made, bottom = placed(scene, panels_of(row, remaining), row.height, top)
        if row.closed:
            found[-1]["panels"] = made
        else:
            found += made
            top = bottom
    return found


def query(name: str, asked: Json, **more: object) -> Json:
    """Return a variable that the server answers."""
    question = {"queryType": "infinity", "refId": "variable", "infinityQuery": asked}
    return {
        "type": "query",
        "name": name,
        "datasource": SOURCE,
        "query": question,
        "refresh": 1,
        **more,
    }


def several(first: str = "All") -> Json:
    """Return the properties of a variable of several values; All is no filter, not every value."""
    return {
        "multi": True,
        "includeAll": True,
        "allValue": ALL,
        "current": {"text": [first], "value": ["$__all"]},
    }


def narrowing(scene: Scene, one: Filter) -> Json:
    """Return the variable of a filter."""
    label = scene.words.dim(one.dim)
    if one.hidden:
        # Not a text box, which keeps no more than one of the values in an address.
        made = {"type": "custom", "name": one.dim, "label": label, "query": ""}
        return made | {"hide": HIDDEN, **several()}
    within = {dim: variable for dim, variable in scene.filters(one.within).items()}
    asked = {"list": one.list} if one.list else {"dim": one.dim}
    columns = text("__text", "__value")
    # Lists of things in time need a range, others do not look at it.
    span = {"from": str(FROM), "to": str(TO)}
    fields = {"range": span, "payload": {**asked, "filters": within}}
    # Grafana takes no values for a mistake, and says so in red.
    nothing = json.dumps([{"__text": scene.words["none"], "__value": ""}], ensure_ascii=False)
    found = target(fields, columns, url="/variable", jq=f"if . == [] then {nothing} else . end")
    if one.one:
        return query(one.dim, found, label=label)
    if one.first:
        # Many values and no All of its own: but a link may bring the All of another dashboard.
        return query(one.dim, found, label=label, multi=True, current={"text": [], "value": []})
    return query(one.dim, found, label=label, **several())


def choosing(scene: Scene, choice: Choice) -> Json:
    """Return the variable of the KPIs to pick from."""
    words = scene.words
    titles = {kpi: words.title(kpi) for kpi in scene.chosen}
    first = [*choice.first]
    has_list = any(isinstance(one, Picker) for row in scene.board.rows for one in row.panels)
    made = {
        "type": "custom",
        "name": choice.variable,
        "label": words["kpis" if choice.several else "kpi"],
        # A comma within a title would end it.
        "query": ", ".join(f"{title.replace(',', ' ')} : {kpi}" for kpi, title in titles.items()),
        "hide": HIDDEN if has_list else 0,
    }
    if choice.several:
        texts = [titles[kpi] for kpi in first]
        return made | {"multi": True, "current": {"text": texts, "value": first}}
    return made | {"current": {"text": titles[first[0]], "value": first[0]}}


def variables(scene: Scene) -> list[Json]:
    """Return the dashboard's variables, the one of the data source first."""
    words, board = scene.words, scene.board
    source = {
        "type": "datasource",
        "name": "datasource",
        "label": words["source"],
        "query": PLUGIN,
        "regex": "/chatkpi/i",
        "current": {"text": "chatkpi", "value": "chatkpi"},
        # Picked on the start, from where every link takes it along.
        "hide": 0 if scene.name == START else IN_MENU,
    }
    columns = text("__text", "__value")
    tenants = target({"payload": {"dim": "tenant", "filters": {}}}, columns, url="/variable")
    # One, for the ids of everything else are unique within a tenant only.
    tenant = query("tenant", tenants, label=words.dim("tenant"))
    # The first event's ms as a text, for as a number it would read 1.76e+12.
    span = Question(list="range", is_ranged=False)
    first = target(span, text("first"), jq="map({first: (.first | tostring)})")
    found = [source, tenant, *(narrowing(scene, one) for one in board.filters)]
    if board.choice:
        found.append(choosing(scene, board.choice))
    for row in board.rows:
        for panel in row.panels:
            found += panel.variables(scene)
    return [*found, query("first", first, hide=HIDDEN)]


def links(scene: Scene) -> list[Json]:
    """Return the links of the head: the start, the sisters, entire time, Learn, the language.

    The last three are in the menu ⋮ but on the start, for the line of controls is full.
    """
    words, board = scene.words, scene.board
    own = uid(scene.name, words.language)
    tags = ["chatkpi", words.language, board.family]
    learn = f"{PROXY}/docs/{words.language}/{scene.name}"
    found: list[Json] = []
    if scene.name != START:
        found.append({"title": words["start"], "url": f"/d/{uid(START, words.language)}"})
    if board.family != "home":
        title = words[f"in_{board.family}"]
        found.append({"type": "dashboards", "title": title, "tags": tags, "asDropdown": True})
    if board.bell:
        found.append(bell(words))
    rest: list[Json] = []
    if scene.name != START:
        entire = f"/d/{own}?from=${{first}}&to=now"
        rest.append({"title": words["entire"], "url": entire, "keepTime": False})
    rest.append({"title": words["learn"], "url": learn, "targetBlank": True})
    for language, name in LANGUAGES.items():
        if language != words.language:
            url = f"/d/{uid(scene.name, language)}"
            rest.append({"title": name, "url": url})
    found += (
        rest if scene.name == START else [one | {"placement": "inControlsMenu"} for one in rest]
    )
    return [{"type": "link", "keepTime": True, "includeVars": True} | one for one in found]


def bell(words: Words) -> Json:
    """Return the link by which the viewer has the daily report sent, or no longer."""
    asked = {
        "tenant": Variable("tenant").encoded(),
        "experience": Variable("experience").encoded(),
        "address": Variable("__user.email").encoded(),
        "datasource": str(Variable("datasource")),
        "language": words.language,
    }
    url = f"{PROXY}/report/bell?" + "&".join(f"{name}={value}" for name, value in asked.items())
    return {
        "title": words["bell"],
        "tooltip": words["bell_about"],
        "url": url,
        "targetBlank": True,
    }


def year_change(scene: Scene) -> Json:
    """Return the annotation at each first of January."""
    span = {"from": str(FROM), "to": str(TO), "timezone": str(ZONE)}
    asked = {"range": span, "filters": {"tenant": TENANT}}
    columns = [Column("time", "timestamp_epoch"), *text("title", "text")]
    return {
        "name": scene.words["year"],
        "enable": True,
        "hide": True,
        "target": target(asked, columns, url="/annotations", ref="Anno"),
        "iconColor": "#8e99a8",
        "datasource": SOURCE,
    }


def dashboard(scene: Scene) -> Json:
    """Return a dashboard in one language. Raises SpecError."""
    words, board = scene.words, scene.board
    try:
        panels = all_panels(scene)
        found = variables(scene)
    except ValueError as error:
        raise SpecError([f"dashboards/{scene.name}.toml: {error}"]) from None
    ids = [panel["id"] for one in panels for panel in (one, *one.get("panels", []))]
    if len(ids) > len(set(ids)):
        raise SpecError([f"dashboards/{scene.name}.toml: two panels have one key, or one id"])
    starts, ends = RANGES[board.range]
    ranges = [{"from": a, "to": b, "display": words[name]} for name, (a, b) in RANGES.items()]
    return {
        "uid": uid(scene.name, words.language),
        "title": board.title.within(words.language),
        "description": board.about.within(words.language),
        "tags": ["chatkpi", words.language, board.family],
        "schemaVersion": 42,
        "editable": False,
        "graphTooltip": 1,  # the crosshair on all charts
        "timezone": "",
        "weekStart": "monday",
        "refresh": "",
        "time": {"from": starts, "to": ends},
        "timepicker": {"quick_ranges": ranges},
        "annotations": {"list": [year_change(scene)]},
        "templating": {"list": found},
        "links": links(scene),
        "panels": panels,
    }
