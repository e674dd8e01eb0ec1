"""Sends what is to be sent: questions to addresses, and the reports that are due."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import LiteralString, NamedTuple

import psycopg

from datasource.report import message
from datasource.report.message import Envelope, Rendered
from datasource.report.numbers import Report, report
from datasource.report.settings import MailServer, ReportSettings
from datasource.report.smtp import Away, Courier, Note, Outcome
from datasource.store.connection import Connection

log = logging.getLogger("chatkpi")
REQUESTS = """
SELECT request.*, number.tenant FROM kpi_admin.report_requests() AS request
JOIN kpi_admin.report_request AS kept USING (request_no)
JOIN kpi_data.tenant_number AS number ON number.tenant_no = kept.tenant_no
ORDER BY request.request_no
"""
CLAIM = """
INSERT INTO kpi_admin.report_mail (day, subscription_no)
SELECT %s, subscription_no FROM kpi_admin.report_subscription
WHERE subscription_no = %s FOR KEY SHARE
ON CONFLICT (subscription_no, day) DO UPDATE SET handed_over_at = clock_timestamp(), times = 2
WHERE report_mail.broken_off AND report_mail.times = 1
"""
ACCEPTED = """
UPDATE kpi_admin.report_mail SET accepted_at = clock_timestamp()
WHERE day = %s AND subscription_no = %s
"""
REFUSED = """
INSERT INTO kpi_admin.report_mail (day, subscription_no, refused)
SELECT %s, subscription_no, %s FROM kpi_admin.report_subscription
WHERE subscription_no = %s FOR KEY SHARE
ON CONFLICT (subscription_no, day) DO UPDATE SET refused = excluded.refused
WHERE report_mail.accepted_at IS NULL
"""
BROKEN_OFF = """
UPDATE kpi_admin.report_mail SET broken_off = true WHERE day = %s AND subscription_no = %s
"""
# That it was handed over before, and broken off, stays noted: once more is all it gets.
NOT_TAKEN = """
WITH which AS (SELECT %s::date AS day, %s::bigint AS subscription_no), once_more AS (
    UPDATE kpi_admin.report_mail AS mail SET times = 1 FROM which
    WHERE mail.day = which.day AND mail.subscription_no = which.subscription_no AND mail.times = 2
)
DELETE FROM kpi_admin.report_mail AS mail USING which
WHERE mail.day = which.day AND mail.subscription_no = which.subscription_no AND mail.times = 1
"""
CLAIM_QUESTION = """
UPDATE kpi_admin.report_request SET handed_over_at = clock_timestamp()
WHERE request_no = %s AND handed_over_at IS NULL
"""
QUESTION_NOT_TAKEN = (
    "UPDATE kpi_admin.report_request SET handed_over_at = NULL WHERE request_no = %s"
)
RAN = "UPDATE kpi_admin.report_run SET ran_at = clock_timestamp()"
WELL = "UPDATE kpi_admin.report_run SET failing_since = NULL, trouble = NULL"
FAILING = """
UPDATE kpi_admin.report_run
SET failing_since = coalesce(failing_since, clock_timestamp()), trouble = left(%s, 500)
"""


class Due(NamedTuple):
    """A report that is to be sent: a row of kpi_admin.reports_due."""

    subscription_no: int
    tenant: str
    experience: str
    address: str
    language: str
    datasource: str
    day: date
    starts: datetime
    ends: datetime
    stop: str


class Request(NamedTuple):
    """An address that is to be asked: a row of REQUESTS."""

    request_no: int
    address: str
    language: str
    tenant_name: str
    experience_name: str
    is_subscribed: bool
    link: str
    tenant: str


@dataclass
class Tally:
    """How many reports and questions were taken, and how many mails were refused or put off."""

    reports: int = 0
    questions: int = 0
    refused: int = 0
    later: int = 0

    def add(self, outcome: Outcome, kind: str) -> None:
        """Count what became of a mail; `kind` is `reports` or `questions`."""
        if outcome is Outcome.ACCEPTED:
            setattr(self, kind, getattr(self, kind) + 1)
        elif outcome is Outcome.REFUSED:
            self.refused += 1
        elif outcome in (Outcome.LATER, Outcome.BROKEN_OFF):
            self.later += 1


def send(connection: Connection, settings: ReportSettings, server: MailServer) -> Tally:
    """Send every mail that is to be sent now, each once; return how many.

    `connection` is the owner's, in autocommit mode: what is noted about a mail stands before the
    next step, whatever is killed. Raises Away when the mail server cannot be used; what is left
    is sent when this is called again.
    """
    connection.execute(RAN)
    connection.execute("SELECT kpi_admin.tidy_reports()")
    tally = Tally()
    try:
        with Courier(server) as courier:
            run = _Run(connection, settings, server, courier)
            for request in run.requests():
                tally.add(run.ask(request), "questions")
            for due, rendered, about in run.reports(tally):
                tally.add(run.send(due, rendered, about), "reports")
    except Away as trouble:
        connection.execute(FAILING, [str(trouble)])
        raise
    connection.execute(WELL)
    return tally


class _Run:
    """The mails of one call of `send`."""

    def __init__(
        self,
        connection: Connection,
        settings: ReportSettings,
        server: MailServer,
        courier: Courier,
    ) -> None:
        self._connection, self._settings = connection, settings
        self._server, self._courier = server, courier

    def requests(self) -> list[Request]:
        """Return the addresses that are to be asked, of those that may get reports."""
        found = [Request(*row) for row in self._connection.execute(REQUESTS.encode())]
        return [row for row in found if self._settings.allows(row.tenant, row.address)]

    def reports(self, tally: Tally) -> Iterator[tuple[Due, Rendered, Report]]:
        """Give the reports that are due, of addresses that may get them; each is made once.

        One that cannot be made is logged and counted as put off: it keeps none of the others back.
        """
        found = self._connection.execute(
            "SELECT * FROM kpi_admin.reports_due(%s)", [self._settings.hour]
        ).fetchall()
        rows = [Due(*row) for row in found]
        allowed = [row for row in rows if self._settings.allows(row.tenant, row.address)]
        for key, of_one in groupby(allowed, lambda row: (row.tenant, row.experience, row.day)):
            readers = [*of_one]
            try:
                about = report(self._connection, *key)
                rendered = {one.language: message.render(about, one.language) for one in readers}
            except (ArithmeticError, ValueError, psycopg.Error) as error:
                if self._connection.closed:
                    raise
                log.error("the report on %r cannot be made", key, exc_info=error)
                tally.later += len(readers)
                continue
            yield from ((one, rendered[one.language], about) for one in readers)

    def ask(self, request: Request) -> Outcome:
        """Send the mail that asks an address; return what became of it."""
        names = {"tenant": request.tenant_name, "experience": request.experience_name}
        mail = message.question(
            self._envelope(request.address, request.language),
            names,
            request.link,
            request.request_no,
            is_subscribed=request.is_subscribed,
        )
        note = self._note(CLAIM_QUESTION, QUESTION_NOT_TAKEN, request.request_no)
        outcome, _ = self._courier.hand_over(mail, request.address, note)
        if outcome is Outcome.REFUSED:
            note.claim()
        return outcome

    def send(self, due: Due, rendered: Rendered, about: Report) -> Outcome:
        """Send a report; return what became of it."""
        envelope = self._envelope(due.address, due.language, due.datasource, due.stop)
        board = message.dashboard(envelope, about, due.starts, due.ends)
        mail = message.daily(rendered, envelope, board, due.subscription_no, due.day)
        which = (due.day, due.subscription_no)
        note = self._note(CLAIM, NOT_TAKEN, *which)
        outcome, words = self._courier.hand_over(mail, due.address, note)
        if outcome is Outcome.ACCEPTED:
            self._connection.execute(ACCEPTED, which)
        elif outcome is Outcome.REFUSED:
            self._connection.execute(REFUSED, [due.day, words, due.subscription_no])
        elif outcome is Outcome.BROKEN_OFF:
            self._connection.execute(BROKEN_OFF, which)
        return outcome

    def _envelope(
        self, address: str, language: str, datasource: str = "", stop: str = ""
    ) -> Envelope:
        url, grafana = self._settings.url, self._settings.grafana
        return Envelope(self._server.sender, address, language, url, grafana, datasource, stop)

    def _note(self, claim: LiteralString, withdraw: LiteralString, *which: object) -> Note:
        """Return what notes a mail by two statements: its claim, and what withdraws that."""
        return Note(
            lambda: self._connection.execute(claim, which).rowcount == 1,
            lambda: self._connection.execute(withdraw, which),
        )
