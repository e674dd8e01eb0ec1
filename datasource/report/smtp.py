"""Hands mails over to a mail server, each once.

A mail counts for the server from its last line on, a single point. Until then it can be sent again
whatever happens. So the mail is claimed just before that line, and what happens after it is final
unless the server says that it did not take the mail, or breaks off without a word. By RFC 5321
(4.2.5) the mail is the server's only once it has said so.
"""

import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from enum import Enum
from types import TracebackType

from datasource.report.settings import MailServer

SECONDS = 30.0  # for each answer of the server
# For the answer to a mail's last line, by RFC 5321 (4.5.3.2.6): some servers look through it first.
SECONDS_TO_TAKE = 600.0
GO_AHEAD, CLOSING = 354, 421
POINT_FIRST = re.compile(rb"^\.", re.MULTILINE)


class Outcome(Enum):
    """What became of a mail.

    Taken, refused for good or for now; the server broke off where it should have answered to the
    last line; or another had handed the mail over.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LATER = "later"
    BROKEN_OFF = "broken off"
    TAKEN_OVER = "taken over"


@dataclass(frozen=True)
class Note:
    """What notes for good that a mail is handed over.

    claim: does so, and returns whether nobody else had; withdraw: takes back what `claim` noted.
    """

    claim: Callable[[], bool]
    withdraw: Callable[[], object]


class Away(Exception):
    """The mail server cannot be used now; `str()` says why, on a line."""


class Courier:
    """A connection to the mail server, opened when the first mail goes. Leave it to close it."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._connection: smtplib.SMTP | None = None

    def __enter__(self) -> "Courier":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection and error is None:
            with suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
        self._drop()

    def hand_over(self, mail: EmailMessage, address: str, note: Note) -> tuple[Outcome, str]:
        """Send a mail; return what became of it, and the server's words.

        The mail is claimed just before its last line, so that nobody else sends it; the claim is
        withdrawn when the server says that it may take it later. Raises Away when the server is
        lost before the last line, or does not answer to it in time: then the mail may arrive.
        """
        try:
            return self._hand_over(mail, address, note)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            self._drop()
            raise Away(_words(error)) from None

    def _hand_over(self, mail: EmailMessage, address: str, note: Note) -> tuple[Outcome, str]:
        connection = self._connection = self._connection or self._opened()
        code, said = connection.mail(self._server.sender)
        if code >= 400:
            raise smtplib.SMTPSenderRefused(code, said, self._server.sender)
        code, said = connection.rcpt(address)
        if code >= 400:
            return self._not_taken(code, said)
        code, said = connection.docmd("DATA")
        if code >= 400:
            return self._not_taken(code, said)
        if code != GO_AHEAD:
            raise smtplib.SMTPDataError(code, said)
        connection.send(POINT_FIRST.sub(b"..", mail.as_bytes()))
        if not note.claim():
            self._drop()  # without its last line the server forgets the mail
            return Outcome.TAKEN_OVER, ""
        outcome, words = self._end(connection)
        if outcome is Outcome.LATER:
            note.withdraw()
        return outcome, words

    def _end(self, connection: smtplib.SMTP) -> tuple[Outcome, str]:
        """Send the last line of a mail; return what became of it."""
        assert connection.sock
        connection.sock.settimeout(SECONDS_TO_TAKE)
        try:
            connection.send(b".\r\n")
            code, said = connection.getreply()
        except smtplib.SMTPServerDisconnected as error:
            # smtplib says of an answer that does not come that the connection has closed.
            if isinstance(error.__context__, TimeoutError):
                raise
            self._drop()
            return Outcome.BROKEN_OFF, _words(error)
        connection.sock.settimeout(SECONDS)
        return (Outcome.ACCEPTED, "") if code < 400 else self._not_taken(code, said)

    def _not_taken(self, code: int, said: bytes) -> tuple[Outcome, str]:
        words = f"{code} {' '.join(said.decode('ascii', 'replace').split())}"
        if code == CLOSING:
            self._drop()
        try:
            if self._connection:
                self._connection.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()  # what it said about the mail holds all the same
        return Outcome.REFUSED if code >= 500 else Outcome.LATER, words

    def _opened(self) -> smtplib.SMTP:
        server = self._server
        context = ssl.create_default_context()
        if server.security == "tls":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=SECONDS, context=context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=SECONDS)
        try:
            if server.security == "starttls":
                connection.starttls(context=context)
            if server.user:
                connection.login(server.user, server.password)
            connection.ehlo_or_helo_if_needed()
            assert connection.sock
            # The last line of a mail is sent by itself, and must not wait for the others to arrive.
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.close()


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
        return " ".join(f"{error.smtp_code} {text}".split())
    return " ".join((str(error) or type(error).__name__).split())
