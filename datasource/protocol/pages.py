"""The front page, and how a browser signs in: what makes a token a cookie."""

from urllib.parse import urlsplit

import psycopg
from flask import Flask, jsonify, redirect, request
from werkzeug.wrappers import Response

from datasource import __version__
from datasource.protocol import page, tokens
from datasource.protocol.access import COOKIE, Access, token_of
from datasource.protocol.database import from_database
from datasource.protocol.errors import ApiError

FORM_BYTES = 4096  # of the form that a token is sent by


def register(app: Flask, access: Access) -> None:
    """Add the paths for browsers."""
    app.get("/", endpoint="front")(lambda: _front(access))
    app.post("/session", endpoint="session")(lambda: _session(access))


def _front(access: Access) -> Response:
    if "token" in request.args:
        return _by_link(access, request.args["token"])
    if not is_browser():
        return jsonify(name="chatkpi", version=__version__)
    if COOKIE not in request.cookies and "Authorization" not in request.headers:
        return page.rendered(None)
    try:
        token = token_of(request)
        with access.asking(token) as asker, access.place(token):
            return page.page(asker, request.args.get("tenant"))
    except (ApiError, psycopg.Error) as error:
        return _asked_again(error)


def _asked_again(error: ApiError | psycopg.Error) -> Response:
    """Show a browser the form once more, with what is wrong with its token; raise other errors."""
    refusal = from_database(error) if isinstance(error, psycopg.Error) else error
    if refusal.status != 401 or not is_browser():
        raise error
    answer = page.rendered(None, refused=str(refusal))
    answer.status_code = 401 if request.method == "POST" else 200
    return answer


def is_browser() -> bool:
    """Return whether who asks would rather have a page than JSON."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _session(access: Access) -> Response:
    request.max_content_length = FORM_BYTES
    try:
        return _signed_in(access, request.form.get("token", ""))
    except (ApiError, psycopg.Error) as error:
        return _asked_again(error)


def _by_link(access: Access, token: str) -> Response:
    """Sign in by a link; show the form with its token when nothing says on which site it was.

    Over plain HTTP browsers do not say that, but for links to their own machine.
    """
    if "Sec-Fetch-Site" in request.headers or "Origin" in request.headers:
        return _signed_in(access, token)
    _check(access, token)
    return page.rendered(None, linked=token)


def _check(access: Access, token: str) -> None:
    """Raise ApiError or psycopg.Error for a token that is not valid."""
    with access.asking(tokens.digest(token)) as asker:
        asker.check()


def _signed_in(access: Access, token: str) -> Response:
    """Keep a valid token in the browser's cookie, and go to the front page.

    Another site must not choose with whose token somebody looks, so it can neither send the form
    nor link to an address with a token.
    """
    if _is_from_elsewhere():
        hint = "Open this server's own page, and give it the token there."
        raise ApiError(403, "foreign_origin", "Another site may not sign you in.", hint=hint)
    _check(access, token)
    answer = redirect("/", 303)
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    answer.set_cookie(COOKIE, token, secure=secure, httponly=True, samesite="Strict")
    return answer


def _is_from_elsewhere() -> bool:
    """Return whether a browser says that another site's page made this request.

    Browsers that say so in Sec-Fetch-Site compare origins themselves, whatever name a proxy calls
    this server by. Of others the origin must be the host that was asked.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.host.lower()
