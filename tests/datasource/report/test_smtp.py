"""The way to the mail server: encrypted, with a login, and refused when it cannot be trusted."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from datasource.report.message import Envelope, question
from datasource.report.settings import MailServer
from datasource.report.smtp import Away, Courier, Note, Outcome
from datasource.store.errors import StoreError
from tests.datasource.report.mailbox import Mailbox

Listening = Callable[..., tuple[Mailbox, MailServer]]
NOBODY_ELSE = Note(claim=lambda: True, withdraw=lambda: None)
NAMES = {"tenant": "Ámo", "experience": "Quiz"}


def sent(server: MailServer) -> tuple[Outcome, str]:
    envelope = Envelope(server.sender, "ann@example.org", "en", "https://kpi.example", "", "", "")
    mail = question(envelope, NAMES, "link", 1, is_subscribed=False)
    with Courier(server) as courier:
        return courier.hand_over(mail, "ann@example.org", NOBODY_ELSE)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with a key and a certificate for 127.0.0.1."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate")
    key, found = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", found],
        check=True,
        capture_output=True,
    )
    found.write_bytes(found.read_bytes() + key.read_bytes())
    return found


def authenticated(_server: Any, _session: Any, _envelope: Any, _way: str, given: Any) -> AuthResult:
    is_right = isinstance(given, LoginPassword) and given.password == b"secret"
    return AuthResult(success=is_right, handled=is_right)


@pytest.fixture
def secure(
    listening: Listening, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Mailbox, MailServer]:
    """Return a mail server that wants STARTTLS and a login, with a certificate that is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    box, server = listening(
        tls_context=context, require_starttls=True, authenticator=authenticated, auth_required=True
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return box, replace(server, security="starttls", user="kpi", password="secret")


def test_it_is_sent_over_starttls_with_a_login(secure: tuple[Mailbox, MailServer]) -> None:
    box, server = secure
    assert sent(server) == (Outcome.ACCEPTED, "")
    assert box.to == ["ann@example.org"]


def test_a_wrong_password_is_told(secure: tuple[Mailbox, MailServer]) -> None:
    box, server = secure
    with pytest.raises(Away, match="^535 "):
        sent(replace(server, password="wrong"))
    assert box.to == []


def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    secure: tuple[Mailbox, MailServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    box, server = secure
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Away, match="certificate verify failed"):
        sent(server)
    assert box.to == []


def test_a_server_without_starttls_gets_no_mail(listening: Listening) -> None:
    box, server = listening()
    with pytest.raises(Away, match="STARTTLS"):
        sent(replace(server, security="starttls"))
    assert box.to == []


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Away, match="refused"):
        sent(MailServer("127.0.0.1", port, "none", "", "", "kpi@example.org"))


def test_lines_that_begin_with_a_point_arrive(listening: Listening) -> None:
    box, server = listening()
    envelope = Envelope(server.sender, "ann@example.org", "en", "https://kpi.example", "", "", "")
    mail = question(envelope, NAMES, "link", 1, is_subscribed=False)
    mail.clear_content()
    mail.set_content(".\n..\n.a\n")
    with Courier(server) as courier:
        courier.hand_over(mail, "ann@example.org", NOBODY_ELSE)
    assert str(box.taken[0].get_content()).splitlines() == [".", "..", ".a"]


SETTINGS = {"SMTP_HOST": "mail.example", "REPORT_FROM": "KPI@example.org"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"SMTP_HOST": ""}, "CHATKPI_SMTP_HOST"),
        ({"REPORT_FROM": "kpi@x.org\r\nBcc: a@b.de"}, "CHATKPI_REPORT_FROM"),
        ({"SMTP_TLS": "ssl"}, "CHATKPI_SMTP_TLS"),
        ({"SMTP_PORT": "0"}, "CHATKPI_SMTP_PORT"),
        ({"SMTP_USER": "kpi"}, "CHATKPI_SMTP_PASSWORD_FILE"),
        ({"SMTP_USER": "kpi", "SMTP_PASSWORD_FILE": "/nowhere"}, "CHATKPI_SMTP_PASSWORD_FILE"),
        ({"SMTP_USER": "k", "SMTP_PASSWORD": "p", "SMTP_TLS": "none"}, "in the clear"),
        ({"SMTP_USER": "k", "SMTP_PASSWORD": "pä"}, "plain ASCII"),
    ],
)
def test_a_setting_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], words: str
) -> None:
    for name, value in (SETTINGS | given).items():
        monkeypatch.setenv(f"CHATKPI_{name}", value)
    with pytest.raises(StoreError, match=words):
        MailServer.of_environment()


def test_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"CHATKPI_{name}", value)
    assert MailServer.of_environment() == MailServer(
        "mail.example", 587, "starttls", "", "", "kpi@example.org"
    )
    (tmp_path / "password").write_text(" se cret\n", encoding="utf-8")
    monkeypatch.setenv("CHATKPI_SMTP_USER", "kpi")
    monkeypatch.setenv("CHATKPI_SMTP_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("CHATKPI_SMTP_TLS", "tls")
    found = MailServer.of_environment()
    assert (found.port, found.user, found.password) == (465, "kpi", " se cret")
