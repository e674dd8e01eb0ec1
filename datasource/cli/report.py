"""report: the command that sends the daily reports, or shows one."""

import sys
import time
from argparse import ArgumentTypeError, Namespace
from base64 import b64encode

import psycopg

from datasource.report import message
from datasource.report.numbers import report as read_report
from datasource.report.numbers import yesterday
from datasource.report.send import Tally, send
from datasource.report.settings import HINT, MailServer, ReportSettings
from datasource.report.smtp import Away
from datasource.store.connection import Connection, connect
from datasource.store.errors import StoreError

LONGEST_PAUSE = 900  # seconds between two tries, when the mail server stays away
REMOVE = """
WITH asked AS (DELETE FROM kpi_admin.report_request WHERE address = %(address)s)
DELETE FROM kpi_admin.report_subscription WHERE address = %(address)s
"""
KNOWN = """
SELECT FROM kpi_data.tenant_number AS n CROSS JOIN kpi_admin.experiences(n.tenant_no) AS e
WHERE n.tenant = %s AND e.id = %s
"""


def report(given: Namespace) -> int:
    """Send reports once, or again and again; or print one; or end those of an address."""
    chosen = [
        given.send,
        given.watch is not None,
        given.print is not None,
        given.remove is not None,
    ]
    if sum(chosen) != 1:
        raise ArgumentTypeError("it takes one of --send, --watch, --print and --remove")
    if (given.html or given.language != "en") and given.print is None:
        raise ArgumentTypeError("--html and --language go with --print")
    if given.print is not None:
        tenant, experience = given.print
        with connect() as connection:
            print(shown(connection, tenant, experience, given.language, is_html=given.html), end="")
        return 0
    if given.remove is not None:
        with connect(autocommit=True) as connection:
            found = connection.execute(REMOVE, {"address": given.remove.strip().lower()})
            print(f"ended {found.rowcount} reports")
        return 0
    settings, server = _settings(), MailServer.of_environment()
    return _watch(given.watch, settings, server) if given.watch else _send(settings, server)


def _settings() -> ReportSettings:
    settings = ReportSettings.of_environment()
    if not settings.is_on:
        raise StoreError("CHATKPI_REPORT_URL and CHATKPI_REPORT_DOMAINS have to be set", HINT)
    return settings


def _send(settings: ReportSettings, server: MailServer) -> int:
    with connect(autocommit=True) as connection:
        try:
            tally = send(connection, settings, server)
        except Away as away:
            raise StoreError(f"the mail server cannot be used: {away}", "run it again") from None
    print(_words(tally))
    return 1 if tally.later or tally.refused else 0


def _watch(seconds: int, settings: ReportSettings, server: MailServer) -> int:
    """Send what is due every so many seconds; more rarely while that does not work."""
    failed = 0
    while True:
        try:
            with connect(autocommit=True) as connection:
                tally = send(connection, settings, server)
            if tally != Tally():
                print(_words(tally), flush=True)
            failed = failed + 1 if tally.later else 0
        except Away as away:
            failed += 1
            print(f"chatkpi: the mail server cannot be used: {away}", file=sys.stderr, flush=True)
        except (StoreError, psycopg.OperationalError) as error:
            failed += 1
            print("chatkpi:", " ".join(str(error).split()), file=sys.stderr, flush=True)
        time.sleep(pause(seconds, failed))


def pause(seconds: int, failed: int) -> int:
    """Return the seconds until the next try, after so many that failed one after the other."""
    return max(seconds, min(LONGEST_PAUSE, seconds << min(failed, 20)))


def _words(tally: Tally) -> str:
    return (
        f"sent {tally.reports} reports, asked {tally.questions} addresses, "
        f"{tally.refused} refused, {tally.later} put off"
    )


def shown(
    connection: Connection, tenant: str, experience: str, language: str, *, is_html: bool
) -> str:
    """Return the report on the last whole day as text, or as a page that stands on its own.

    Raises StoreError when the tenant or the experience is not there.
    """
    day = yesterday(connection, tenant)
    if not connection.execute(KNOWN, [tenant, experience]).rowcount:
        raise StoreError(f"{tenant} has no experience {experience!r}", "POST /rows lists them")
    rendered = message.render(read_report(connection, tenant, experience, day), language)
    content = rendered.content | {"board": "", "stop": "", "language": language}
    if not is_html:
        return message.html_of("report.txt", **content)
    picture = f"data:image/png;base64,{b64encode(rendered.picture).decode()}"
    return message.html_of("report.html", **content).replace(f"cid:{message.PICTURE}", picture)
