"""The settings of reports, from the environment: who may get them, and the mail server."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from datasource.store.errors import StoreError

# An address that is plain ASCII and has no quotes, comments or spaces: it cannot break a header or
# a command of SMTP, and nothing else is needed.
is_address = re.compile(
    r"(?=.{3,254}\Z)[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?=[^@]{3,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
    re.ASCII,
).fullmatch
PORTS = {"starttls": 587, "tls": 465, "none": 25}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HINT = "docs/report.md has the settings"


def normal(address: str) -> str | None:
    """Return an address in the one form in which it is kept; None when it cannot be used."""
    found = address.strip().lower()
    return found if is_address(found) and len(found.partition("@")[0]) <= 64 else None


def _setting(name: str, default: str = "") -> str:
    return os.environ.get(f"CHATKPI_{name}", "").strip() or default


def _base(name: str) -> str:
    """Return the address of a site from the setting of this name; "" when it is not set.

    Raises ValueError for what is no plain address of a site.
    """
    given = _setting(name)
    parts = urlsplit(given)
    is_plain = re.fullmatch(r"[!-~]*", given) and not (
        parts.query or parts.fragment or "@" in given
    )
    is_safe = parts.scheme == "https" or parts.scheme == "http" and parts.hostname in LOOPBACK
    if given and not (is_plain and is_safe and parts.hostname):
        raise ValueError(f"CHATKPI_{name} must be an address https://…, not {given!r}")
    return given.rstrip("/")


def _domains() -> dict[str, frozenset[str]]:
    """Return the domains that CHATKPI_REPORT_DOMAINS allows, by tenant; those of all under ""."""
    found: dict[str, set[str]] = {}
    for word in _setting("REPORT_DOMAINS").replace(",", " ").split():
        tenant, _, domain = word.rpartition("=")
        if not is_address(f"x@{domain.lower()}"):
            raise ValueError(f"CHATKPI_REPORT_DOMAINS: {domain!r} is no domain")
        found.setdefault(tenant, set()).add(domain.lower())
    return {tenant: frozenset(domains) for tenant, domains in found.items()}


@dataclass(frozen=True)
class ReportSettings:
    """What server and reporter both have to know.

    `url`: the server's address as readers reach it, `grafana`: Grafana's, each without a slash at
    its end. `domains`: those whose addresses may get reports, by tenant; under "" those for all.
    `hour`: of each tenant's own clock, from which reports are sent.
    """

    url: str = ""
    grafana: str = ""
    domains: Mapping[str, frozenset[str]] = field(default_factory=dict)
    hour: int = 7

    @classmethod
    def of_environment(cls) -> "ReportSettings":
        """Return what the environment sets. Raises ValueError, which names what cannot be used."""
        hour = _setting("REPORT_HOUR", "7")
        if not re.fullmatch("[0-9]|1[0-9]|2[0-3]", hour):
            raise ValueError(f"CHATKPI_REPORT_HOUR must be an hour from 0 to 23, not {hour!r}")
        return cls(_base("REPORT_URL"), _base("REPORT_GRAFANA"), _domains(), int(hour))

    @property
    def is_on(self) -> bool:
        """Whether readers can be asked and answered at all."""
        return bool(self.url and self.domains)

    def allowed(self, tenant: str) -> frozenset[str]:
        """Return the domains whose addresses may get reports of a tenant.

        Domains that name the tenant stand in place of those for all.
        """
        return self.domains.get(tenant, self.domains.get("", frozenset()))

    def allows(self, tenant: str, address: str) -> bool:
        """Return whether an address, as it is kept, may get reports of a tenant."""
        return normal(address) == address and address.rpartition("@")[2] in self.allowed(tenant)


def _password() -> str:
    """Return the mail server's password: of the file that is named, else of the environment."""
    file = _setting("SMTP_PASSWORD_FILE")
    if not file:
        return os.environ.get("CHATKPI_SMTP_PASSWORD", "")
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"CHATKPI_SMTP_PASSWORD_FILE cannot be read: {error}", HINT) from None


@dataclass(frozen=True)
class MailServer:
    """The mail server, and who the mails are from.

    `security`: `starttls`, `tls` from the first byte, or `none`.
    """

    host: str
    port: int
    security: str
    user: str
    password: str
    sender: str

    @classmethod
    def of_environment(cls) -> "MailServer":
        """Return what the environment sets. Raises StoreError for what is missing or wrong."""
        host, security = _setting("SMTP_HOST"), _setting("SMTP_TLS", "starttls")
        user, password = _setting("SMTP_USER"), _password()
        if not host:
            raise StoreError("CHATKPI_SMTP_HOST is not set: no mail is sent", HINT)
        if security not in PORTS:
            raise StoreError(f"CHATKPI_SMTP_TLS is one of {', '.join(PORTS)}", HINT)
        port = _setting("SMTP_PORT", str(PORTS[security]))
        if not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise StoreError("CHATKPI_SMTP_PORT is no port", HINT)
        sender = normal(_setting("REPORT_FROM"))
        if not sender:
            raise StoreError("CHATKPI_REPORT_FROM must be an e-mail address", HINT)
        if bool(user) != bool(password):
            raise StoreError("CHATKPI_SMTP_USER goes with CHATKPI_SMTP_PASSWORD_FILE", HINT)
        if not (user + password).isascii():
            raise StoreError("user and password of the mail server must be plain ASCII", HINT)
        if user and security == "none" and host not in LOOPBACK:
            raise StoreError("a password is not sent in the clear: set CHATKPI_SMTP_TLS", HINT)
        return cls(host, int(port), security, user, password, sender)
