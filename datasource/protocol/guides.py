"""GET /docs/<language>/<dashboard>: what a dashboard shows, in words; needs no token."""

from flask import Flask, Response, render_template

from datasource.grafana.guide import guides
from datasource.protocol.errors import ApiError

FRAME = {
    "en": {"sisters": "Dashboards of the same kind", "other": ("nl", "Nederlands")},
    "nl": {"sisters": "Dashboards van dezelfde soort", "other": ("en", "English")},
}


def register(app: Flask) -> None:
    """Add the pages that the dashboards' link Learn opens."""
    app.get("/docs/<language>/<name>", endpoint="guide")(_guide)


def _guide(language: str, name: str) -> Response:
    guide = guides().get((language, name))
    if not guide:
        raise ApiError(404, "not_found", "There is no such page.")
    page = render_template("guide.html", guide=guide, name=name, words=FRAME[language])
    return Response(page, mimetype="text/html")
