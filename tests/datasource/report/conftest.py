"""A small world the morning after its events, its readers, and a mail server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from datasource.protocol import tokens
from datasource.report.send import Tally, send
from datasource.report.settings import MailServer, ReportSettings
from datasource.store.connection import connect
from tests.agreement import installed
from tests.conftest import Databases
from tests.datasource.protocol.conftest import RECORDS
from tests.datasource.report.mailbox import Mailbox, Running

MORNING = "2026-03-03T06:00:00Z"  # seven o'clock in Amsterdam
SETTINGS = ReportSettings(
    "https://kpi.example", "https://grafana.example", {"": frozenset({"example.org"})}
)


@pytest.fixture(scope="session")
def template(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a database with the small world in it, to which nobody is connected."""
    url, connection = installed(database, RECORDS, tmp_path_factory.mktemp("world"), MORNING)
    tokens.create(connection, "grafana", ["a"])
    connection.close()
    return url


class Office(NamedTuple):
    """A database with readers in it, and the mail server that they are reached by."""

    url: str
    connection: psycopg.Connection[Any]
    box: Mailbox
    server: MailServer

    def subscribe(self, *addresses: str, experience: str = "x", language: str = "en") -> None:
        """Subscribe addresses, as if they had confirmed."""
        self.connection.cursor().executemany(
            "INSERT INTO kpi_admin.report_subscription (tenant_no, experience, address, language, "
            "datasource, token_name) SELECT tenant_no, %s, %s, %s, 'chatkpi', 'grafana' "
            "FROM kpi_data.tenant_number WHERE tenant = 'a'",
            [(experience, address, language) for address in addresses],
        )

    def send(self) -> Tally:
        """Send what is to be sent."""
        return send(self.connection, SETTINGS, self.server)

    def at(self, now: str) -> None:
        """Set the time."""
        self.connection.execute("SELECT set_config('kpi.now', %s, false)", [now])

    def mails(self) -> list[tuple[Any, ...]]:
        """Return what is noted about mails: the address, whether taken, why refused."""
        return self.connection.execute(
            "SELECT address, accepted_at IS NOT NULL, refused FROM kpi_admin.report_mail "
            "JOIN kpi_admin.report_subscription USING (subscription_no) ORDER BY subscription_no"
        ).fetchall()


@pytest.fixture
def world(database: Databases, template: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a database of the test's own with the small world in it, at seven in the morning."""
    monkeypatch.setenv("CHATKPI_NOW", MORNING)
    return database.new_database(template)


@pytest.fixture
def listening() -> Iterator[Callable[..., tuple[Mailbox, MailServer]]]:
    """Give what starts a mail server."""
    started: list[Running] = []

    def start(**options: Any) -> tuple[Mailbox, MailServer]:
        box = Mailbox()
        running = Running(box, **options)
        running.start()
        started.append(running)
        server = MailServer("127.0.0.1", running.port, "none", "", "", "kpi@example.org")
        return box, server

    yield start
    for running in started:
        running.stop(no_assert=True)


@pytest.fixture
def office(world: str, listening: Callable[..., tuple[Mailbox, MailServer]]) -> Iterator[Office]:
    box, server = listening()
    with connect(world, autocommit=True) as connection:
        yield Office(world, connection, box, server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
