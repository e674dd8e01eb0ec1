"""A dashboard as Grafana opens it: its variables with values, its panels' queries filled in."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from datasource.grafana.question import Json

Value = str | list[str]
in_text = re.compile(r"\$\{(\w+)(?::(\w+))?\}")


def formatted(value: Value, form: str) -> str:
    """Return a variable's value in one of Grafana's formats."""
    values = value if isinstance(value, list) else [value]
    if form == "json":
        return value if isinstance(value, str) and value.startswith("[") else json.dumps(value)
    if form == "doublequote":
        return ",".join(json.dumps(one) for one in values)
    if form == "pipe":
        return "|".join(values)
    text = "{" + ",".join(values) + "}" if isinstance(value, list) else value
    return quote(text, safe="") if form == "percentencode" else text


def filled(told: Any, values: Mapping[str, Value]) -> Any:
    """Return JSON in whose texts the variables that have a value are filled in."""
    if isinstance(told, dict):
        return {name: filled(one, values) for name, one in told.items()}
    if isinstance(told, list):
        return [filled(one, values) for one in told]
    if not isinstance(told, str):
        return told

    def one(found: re.Match[str]) -> str:
        name, form = found[1], found[2] or ""
        return formatted(values[name], form) if name in values else found[0]

    return in_text.sub(one, told)


def variables(board: Json, options: Callable[[Json], list[str]]) -> dict[str, Value]:
    """Return the values that a dashboard's variables have when it is opened.

    `options` gives the values that the answer to a variable's query offers; a variable that has
    none is an empty text. One for whose values a panel is repeated has them all.
    """
    repeated = {panel["repeat"] for panel in panels(board) if "repeat" in panel}
    # What Grafana's back end puts in itself stays as it is.
    values: dict[str, Value] = {"__timezone": "UTC", "datasource": "chatkpi"}
    for one in board["templating"]["list"]:
        name = one["name"]
        if one.get("allValue") and name not in repeated:
            values[name] = one["allValue"]
        elif one["type"] in ("custom", "textbox"):
            values[name] = one["current"]["value"]
        elif one["type"] == "query" and name in repeated:
            values[name] = options(filled(one["query"]["infinityQuery"], values))
        elif one["type"] == "query":
            offered = options(filled(one["query"]["infinityQuery"], values))
            first = offered[0] if offered else ""
            values[name] = [first] if one.get("multi") else first
    return values


def panels(board: Json) -> list[Json]:
    """Return all panels of a dashboard, those within closed rows too."""
    return [one for panel in board["panels"] for one in (panel, *panel.get("panels", []))]


def asked(board: Json, values: Mapping[str, Value]) -> Iterator[tuple[str, Json]]:
    """Give each query that the panels ask the server, filled in, with its panel's title.

    A panel that is repeated asks once for each value.
    """
    for panel in panels(board):
        name = panel.get("repeat", "")
        chosen = values.get(name, "")
        for one in chosen if isinstance(chosen, list) else [chosen]:
            own = {**values, name: one}
            for target in panel.get("targets", []):
                if target.get("source") == "url":
                    yield filled(panel["title"], own), filled(target, own)
