"""/report/…: where readers ask for the daily report, start it and end it, by signed links.

Who may ask holds a token: the bell of a dashboard is opened through Grafana, which adds one. It
becomes a link that is good for an hour and for one thing only: to have an address of an allowed
domain asked. What starts and ends a report are links that only that address gets. Nothing is
changed by looking at a page.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import psycopg
from flask import Flask, Response, redirect, render_template, request
from psycopg.types.json import Jsonb
from werkzeug.wrappers import Response as AnyResponse

from datasource.catalog import LANGUAGES
from datasource.protocol.access import Access, token_of
from datasource.protocol.database import from_database
from datasource.protocol.errors import ApiError
from datasource.protocol.pages import is_browser
from datasource.report.settings import ReportSettings, normal
from datasource.report.words import Words

FORM_BYTES = 4096
is_link = re.compile(r"[A-Za-z0-9._-]{1,8000}", re.ASCII).fullmatch
# The id of a data source in Grafana, which the link to the dashboard names.
is_uid = re.compile(r"[A-Za-z0-9_-]{1,40}").fullmatch
Json = dict[str, Any]


def register(app: Flask, access: Access, settings: ReportSettings) -> None:
    """Add the paths of reports. Without settings for them they say that there are none."""
    pages = _Pages(access, settings)

    def add(path: str, method: str, view: Callable[[], AnyResponse]) -> None:
        app.add_url_rule(
            path, f"{method} {path}", lambda: _for_people(settings, view), methods=[method]
        )

    add("/report/bell", "GET", pages.bell)
    add("/report/ask", "GET", pages.ask)
    add("/report/ask", "POST", pages.asked)
    add("/report/start", "GET", pages.start)
    add("/report/start", "POST", pages.started)
    add("/report/stop", "GET", pages.stop)
    add("/report/stop", "POST", pages.stopped)


def _for_people(settings: ReportSettings, view: Callable[[], AnyResponse]) -> AnyResponse:
    """Answer with a page; tell a browser what is wrong on a page too."""
    try:
        if not settings.is_on:
            hint = "CHATKPI_REPORT_URL and CHATKPI_REPORT_DOMAINS turn them on."
            raise ApiError(404, "no_reports", "This server sends no reports.", hint=hint)
        return view()
    except (ApiError, psycopg.Error) as error:
        refusal = from_database(error) if isinstance(error, psycopg.Error) else error
        if not is_browser():
            raise
        answer = _page("refused", "en", [str(refusal), refusal.shape["hint"] or ""])
        answer.status_code = refusal.status
        answer.headers.update(refusal.headers or {})
        return answer


def _page(name: str, language: str, paragraphs: list[str], **more: Any) -> Response:
    words = Words(language)
    content: Json = {"button": "", "experiences": [], "experience": "", "address": ""}
    text = render_template(
        "report.html",
        title=words(f"page_{name}"),
        paragraphs=[paragraph for paragraph in paragraphs if paragraph],
        words=words,
        languages=LANGUAGES,
        **content | more,
    )
    return Response(text, mimetype="text/html")


def _link() -> str:
    """Return the signed part of the address. Raises ApiError 422 when there is none."""
    found = request.args.get("link", "")
    if not is_link(found):
        raise ApiError(422, "invalid_link", "The link is not complete.")
    return found


class _Pages:
    """The pages, each of which asks the database what its link says."""

    def __init__(self, access: Access, settings: ReportSettings) -> None:
        self._access, self._settings = access, settings

    def bell(self) -> AnyResponse:
        """Turn the token of the request into a link to ask by, and go there."""
        token, given = token_of(request), request.args
        address, datasource = given.get("address", ""), given.get("datasource", "")
        asked = {
            "tenant": given.get("tenant", ""),
            "experience": _first(given.get("experience", ""))[:1000],
            "language": _language(given.get("language", "")),
            "address": normal(address) or "",
            "datasource": datasource if is_uid(datasource) else "chatkpi",
        }
        with self._access.asking(token) as asker, self._access.place(token):
            asker.check()
            statement = "SELECT kpi_http.report_link(%s, %s)"
            [(link,)] = self._access.database.fetch(statement, token, Jsonb(asked))
        return redirect(f"{self._settings.url}/report/ask?{urlencode({'link': link})}", 303)

    def ask(self) -> AnyResponse:
        """Show the form by which an address is asked."""
        return self._form(self._said("ask"))

    def _form(self, said: Json, wrong: str = "", **given: str) -> AnyResponse:
        language = given.get("language") or said["language"]
        words = Words(language)
        domains = sorted(self._settings.allowed(said["tenant"]))
        about = words("page_ask_about", tenant=said["tenant_name"])
        if not domains or not said["experiences"]:
            about = words("page_no_domains", tenant=said["tenant_name"])
            return _page("ask", language, [about])
        hint = words("page_domains", domains=", ".join(domains))
        fields = {
            "button": words("page_send"),
            "experiences": said["experiences"],
            "experience": given.get("experience") or said["experience"],
            "address": given.get("address") or said["address"],
            "hint": hint,
            "wrong": wrong,
        }
        answer = _page("ask", language, [about], **fields)
        answer.status_code = 422 if wrong else 200
        return answer

    def asked(self) -> AnyResponse:
        """Have the address of the form asked; the answer is the same whoever gets a report."""
        request.max_content_length = FORM_BYTES
        said = self._said("ask")
        form = {name: request.form.get(name, "") for name in ("experience", "address", "language")}
        form["language"] = _language(form["language"])
        address = normal(form["address"])
        if "\0" in form["experience"]:  # PostgreSQL has no texts that hold it
            raise ApiError(422, "unknown_experience", "There is no such experience.")
        if not address or not self._settings.allows(said["tenant"], address):
            wrong = Words(form["language"])("page_wrong_address")
            return self._form(said, wrong, **form)
        [(wait,)] = self._access.database.write(
            "SELECT kpi_http.ask_for_report(%s, %s, %s, %s)",
            *(_link(), form["experience"], address, form["language"]),
        )
        if wait is not None:
            message = "Too many reports have been asked for in an hour."
            raise ApiError(429, "too_many_requests", message, {"Retry-After": str(wait)})
        return _page("asked", form["language"], [Words(form["language"])("page_asked_about")])

    def start(self) -> AnyResponse:
        """Show what a click starts."""
        return self._before("start")

    def stop(self) -> AnyResponse:
        """Show what a click ends."""
        said = self._said("stop")
        return self._before("stop") if "experience_name" in said else self._done("stop", said)

    def _before(self, purpose: str) -> AnyResponse:
        said = self._said(purpose)
        if "experience_name" not in said:
            raise ApiError(422, "expired_link", "This link has expired.")
        words = Words(said["language"])
        names = {"experience": said["experience_name"], "tenant": said["tenant_name"]}
        about = words(f"page_{purpose}_about", **names)
        button = words(f"page_{purpose}_button")
        return _page(purpose, said["language"], [about], button=button)

    def started(self) -> AnyResponse:
        """Start the report of the link."""
        said = self._said("start")
        self._access.database.write("SELECT kpi_http.start_report(%s)", _link())
        return self._done("start", said)

    def stopped(self) -> AnyResponse:
        """End the report of the link: for the page's button, and for mail programs (RFC 8058)."""
        said = self._said("stop")
        self._access.database.write("SELECT kpi_http.stop_report(%s)", _link())
        return self._done("stop", said)

    def _done(self, purpose: str, said: Json) -> AnyResponse:
        name = {"start": "started", "stop": "stopped"}[purpose]
        about = Words(said["language"])(f"page_{name}_about", hour=self._settings.hour)
        return _page(name, said["language"], [about])

    def _said(self, purpose: str) -> Json:
        """Return what the request's link says. Raises psycopg.Error for one that is not good."""
        statement = "SELECT kpi_http.report_said(%s, %s)"
        [(said,)] = self._access.database.fetch(statement, _link(), purpose)
        found: Json = said
        return found


def _first(given: str) -> str:
    """Return the first of the values that Grafana writes as `{a,b}`, to be chosen already."""
    is_list = given.startswith("{") and given.endswith("}")
    return given[1:-1].partition(",")[0] if is_list else given


def _language(given: str) -> str:
    return given if given in LANGUAGES else next(iter(LANGUAGES))
