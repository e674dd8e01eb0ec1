"""What people read from Grafana: pages on dashboards and on alerts; they need no token."""

from pathlib import Path

from flask import Flask, Response, render_template

from datasource.catalog import LANGUAGES, shipped
from datasource.grafana.alerts import alerts
from datasource.grafana.guide import guides
from datasource.protocol.errors import ApiError

FRAME = {
    "en": {"sisters": "Dashboards of the same kind", "other": ("nl", LANGUAGES["nl"])},
    "nl": {"sisters": "Dashboards van dezelfde soort", "other": ("en", LANGUAGES["en"])},
}


def register(app: Flask) -> None:
    """Add the pages that the dashboards' link Learn opens, and those that alerts link to."""
    app.get("/docs/<language>/<name>", endpoint="guide")(_guide)
    app.get("/runbooks/<name>", endpoint="runbook")(_runbook)


def runbooks_folder() -> Path:
    """Return the folder of the runbooks."""
    return shipped("runbooks", "docs/runbooks")


def _runbook(name: str) -> Response:
    if name not in alerts().rules:
        raise ApiError(404, "not_found", "There is no such page.")
    text = (runbooks_folder() / f"{name}.md").read_text(encoding="utf-8")
    return Response(text, mimetype="text/plain")


def _guide(language: str, name: str) -> Response:
    guide = guides().get((language, name))
    if not guide:
        raise ApiError(404, "not_found", "There is no such page.")
    page = render_template("guide.html", guide=guide, name=name, words=FRAME[language])
    return Response(page, mimetype="text/html")
