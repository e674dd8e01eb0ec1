"""Each reader gets each report once, whatever fails or is killed, and nobody else gets one."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

from datasource.cli.report import pause
from datasource.protocol import tokens
from datasource.report.numbers import Report, report
from datasource.report.send import Tally, send
from datasource.report.settings import MailServer
from datasource.report.smtp import Away
from datasource.store.connection import Connection
from tests.datasource.report.conftest import SETTINGS, Office

TOP = Path(__file__).parents[3]


def test_a_report_goes_out_once(office: Office) -> None:
    office.subscribe("ann@example.org", "bob@example.org")
    assert office.send() == Tally(reports=2)
    assert office.send() == Tally()
    assert office.box.per_address() == {"ann@example.org": 1, "bob@example.org": 1}
    assert office.mails() == [("ann@example.org", True, None), ("bob@example.org", True, None)]
    office.at("2026-03-04T06:00:00Z")
    assert office.send() == Tally(reports=2)


def test_it_goes_out_from_the_hour_on_of_the_tenants_own_clock(office: Office) -> None:
    office.subscribe("ann@example.org")
    for now, sent in [("2026-03-03T05:59:59Z", 0), ("2026-03-03T06:00:00Z", 1)]:
        office.at(now)
        assert office.send().reports == sent
    office.at("2026-03-04T22:59:00Z")  # one minute before the day ends in Amsterdam
    assert office.send().reports == 1
    office.at("2026-03-04T23:01:00Z")
    assert office.send().reports == 0


def test_it_waits_for_a_refresh_after_the_day(office: Office) -> None:
    office.subscribe("ann@example.org")
    state = "UPDATE kpi_admin.state SET refreshed_at = %s"
    office.connection.execute(state, ["2026-03-02T22:59:59Z"])
    assert office.send() == Tally()
    office.connection.execute(state, ["2026-03-02T23:00:00Z"])
    assert office.send() == Tally(reports=1)


def test_it_ends_with_the_token_that_let_its_reader_in(office: Office) -> None:
    office.subscribe("ann@example.org")
    tokens.revoke(office.connection, "grafana")
    assert office.send() == Tally()
    tokens.create(office.connection, "grafana", ["b"])
    assert office.send() == Tally()
    tokens.revoke(office.connection, "grafana")
    tokens.create(office.connection, "grafana", None)
    assert office.send() == Tally(reports=1)


def test_an_address_whose_domain_is_not_allowed_any_more_gets_nothing(office: Office) -> None:
    office.subscribe("ann@example.org", "eve@example.com", "eve@not-example.org")
    assert office.send() == Tally(reports=1)
    assert office.box.to == ["ann@example.org"]


def test_an_address_that_breaks_mails_or_is_not_allowed_is_not_asked(office: Office) -> None:
    """Whoever is kpi_server can have any text asked, with a link to ask by."""
    office.connection.cursor().executemany(
        "INSERT INTO kpi_admin.report_request "
        "(tenant_no, experience, address, language, datasource, token_name) "
        "SELECT tenant_no, 'x', %s, 'en', 'chatkpi', 'grafana' "
        "FROM kpi_data.tenant_number WHERE tenant = 'a'",
        [
            ("a@b\r\nBcc: eve@example.com\r\n@example.org",),
            ("eve@example.com",),
            ("i@example.org",),
        ],
    )
    office.subscribe("a\nb@example.org", "ann@example.org")
    assert office.send() == Tally(reports=1, questions=1)
    assert office.box.per_address() == {"i@example.org": 1, "ann@example.org": 1}


def test_a_report_that_cannot_be_made_keeps_no_other_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(connection: Connection, tenant: str, experience: str, day: date) -> Report:
        if experience == "odd":
            connection.execute("SELECT 1 / 0")
        return report(connection, tenant, experience, day)

    office.subscribe("eve@example.org", experience="odd")
    office.subscribe("ann@example.org")
    monkeypatch.setattr("datasource.report.send.report", broken)
    assert office.send() == Tally(reports=1, later=1)
    assert office.box.per_address() == {"ann@example.org": 1}


@pytest.mark.parametrize("step", ["mail", "rcpt"])
def test_a_mail_server_that_breaks_off_before_it_has_the_mail_is_tried_again(
    office: Office, step: str
) -> None:
    office.subscribe("ann@example.org")
    office.box.breaks = [step]
    with pytest.raises(Away):
        office.send()
    assert office.connection.execute(
        "SELECT failing_since IS NOT NULL AND trouble <> '' FROM kpi_admin.report_run"
    ).fetchone() == (True,)
    office.send()
    assert office.box.per_address() == {"ann@example.org": 1}
    assert office.connection.execute(
        "SELECT failing_since, trouble FROM kpi_admin.report_run"
    ).fetchone() == (None, None)


def test_a_mail_server_that_breaks_off_where_it_should_take_the_mail_gets_it_again(
    office: Office,
) -> None:
    office.subscribe("ann@example.org", "bob@example.org")
    office.box.breaks = ["data"]
    assert office.send() == Tally(reports=1, later=1)
    assert office.mails() == [("ann@example.org", False, None), ("bob@example.org", True, None)]
    assert office.send() == Tally(reports=1)
    assert office.send() == Tally()
    assert office.box.per_address() == {"ann@example.org": 1, "bob@example.org": 1}
    assert office.mails() == [("ann@example.org", True, None), ("bob@example.org", True, None)]


def test_a_mail_server_that_always_breaks_off_gets_a_mail_twice_at_most(office: Office) -> None:
    office.subscribe("ann@example.org")
    office.box.breaks = ["end"] * 5  # it keeps the mail, and never says so
    assert [office.send() for _ in range(3)] == [Tally(later=1), Tally(later=1), Tally()]
    assert office.box.per_address() == {"ann@example.org": 2}
    assert len({mail["Message-ID"] for mail in office.box.taken}) == 1


def test_a_mail_that_was_broken_off_and_put_off_goes_out_once_more_and_no_more(
    office: Office,
) -> None:
    office.subscribe("ann@example.org")
    office.box.breaks = ["end"]  # it keeps the mail, and never says so
    assert office.send() == Tally(later=1)
    office.box.answers = {"data": "450 4.2.0 not now"}
    assert [office.send() for _ in range(2)] == [Tally(later=1)] * 2
    office.box.answers, office.box.breaks = {}, ["end"]
    assert [office.send() for _ in range(2)] == [Tally(later=1), Tally()]
    assert office.box.per_address() == {"ann@example.org": 2}


def test_a_mail_whose_last_line_has_no_answer_is_never_sent_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasource.report.smtp.SECONDS_TO_TAKE", 0.1)
    office.subscribe("ann@example.org")
    office.box.seconds = 1.0
    with pytest.raises(Away):
        office.send()
    office.box.seconds = 0.0
    assert office.send() == Tally()
    assert office.box.per_address() == {"ann@example.org": 1}


@pytest.mark.parametrize(
    ("said", "tally"),
    [("450 4.2.0 not now", Tally(later=1)), ("550 5.7.1 too many", Tally(refused=1))],
)
def test_one_that_is_not_taken_leaves_what_another_reporter_has_sent(
    office: Office, monkeypatch: pytest.MonkeyPatch, said: str, tally: Tally
) -> None:
    def meanwhile(connection: Connection, tenant: str, experience: str, day: date) -> Report:
        connection.execute(
            "INSERT INTO kpi_admin.report_mail (subscription_no, day, accepted_at) "
            "SELECT subscription_no, %s, now() FROM kpi_admin.report_subscription",
            [day],
        )
        return report(connection, tenant, experience, day)

    office.subscribe("ann@example.org")
    office.box.answers = {"rcpt": said}
    monkeypatch.setattr("datasource.report.send.report", meanwhile)
    assert office.send() == tally
    assert office.mails() == [("ann@example.org", True, None)]


@pytest.mark.parametrize("step", ["rcpt", "data"])
def test_what_the_server_puts_off_is_sent_later(office: Office, step: str) -> None:
    office.subscribe("ann@example.org", "bob@example.org")
    office.box.answers = {step: "450 4.2.0 not now"}
    assert office.send() == Tally(later=2)
    assert office.mails() == []
    office.box.answers = {}
    assert office.send() == Tally(reports=2)
    assert max(office.box.per_address().values()) == 1


@pytest.mark.parametrize("step", ["rcpt", "data"])
def test_what_the_server_refuses_for_good_is_not_sent_again_that_day(
    office: Office, step: str
) -> None:
    office.subscribe("ann@example.org", "bob@example.org")
    office.box.answers = {step: "550 5.1.1 no such mailbox"}
    assert office.send() == Tally(refused=2)
    said = "550 5.1.1 no such mailbox"
    assert [row[1:] for row in office.mails()] == [(False, said)] * 2
    office.box.answers = {}
    assert office.send() == Tally()


def test_one_that_is_refused_holds_up_no_other(office: Office) -> None:
    office.subscribe("ann@example.org", "bob@example.org", "cid@example.org")
    office.box.answers = {"bob@example.org": "550 no", "ann@example.org": "421 later"}
    assert office.send() == Tally(reports=1, refused=1, later=1)
    assert office.box.to == ["cid@example.org"]


def test_a_server_that_does_not_know_the_sender_is_in_trouble(office: Office) -> None:
    office.subscribe("ann@example.org")
    office.box.answers = {"mail": "530 5.7.0 Authentication required"}
    with pytest.raises(Away, match="530 5.7.0 Authentication required"):
        office.send()
    assert office.mails() == []


def test_one_who_stops_while_the_mail_is_on_its_way_is_left_alone(office: Office) -> None:
    office.subscribe("ann@example.org")
    office.connection.execute(
        "CREATE FUNCTION kpi_admin.gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER gone BEFORE INSERT ON kpi_admin.report_mail "
        "FOR EACH ROW EXECUTE FUNCTION kpi_admin.gone()"
    )
    assert office.send() == Tally()
    assert office.box.to == []


def test_the_pause_grows_while_the_server_is_away() -> None:
    assert [pause(30, failed) for failed in (0, 1, 2, 5, 9999)] == [30, 60, 120, 900, 900]
    assert pause(3600, 3) == 3600


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def started(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.datasource.report.mailbox", str(port), str(folder)]
    process = subprocess.Popen(command, cwd=TOP)
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert process.poll() is None
        time.sleep(0.02)
    return process


def received(folder: Path) -> Counter[str]:
    return Counter(path.name.partition(" ")[2] for path in folder.iterdir())


def wait_for(folder: Path, mails: int) -> None:
    until = time.monotonic() + 240
    while len(list(folder.iterdir())) < mails:
        assert time.monotonic() < until
        time.sleep(0.005)


def in_doubt(office: Office) -> set[str]:
    return {address for address, taken, _ in office.mails() if not taken}


def reporter(office: Office, port: int, folder: Path) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "DATABASE_URL": office.url,
        "CHATKPI_SMTP_HOST": "127.0.0.1",
        "CHATKPI_SMTP_PORT": str(port),
        "CHATKPI_SMTP_TLS": "none",
        "CHATKPI_REPORT_FROM": "kpi@example.org",
        "CHATKPI_REPORT_URL": SETTINGS.url,
        "CHATKPI_REPORT_DOMAINS": "example.org",
    }
    run = "from datasource.cli import main; raise SystemExit(main())"
    with (folder.parent / "said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-c", run, "report", "--watch", "1"],
            cwd=TOP,
            env=environment,
            stdout=said,
            stderr=said,
        )


def test_a_thousand_readers_and_a_mail_server_that_is_killed_half_way(
    office: Office, tmp_path: Path
) -> None:
    """Each gets one. The mail of the very moment of the kill may have been stored, and come again."""
    addresses = [f"reader{number}@example.org" for number in range(1000)]
    office.subscribe(*addresses)
    folder, port = tmp_path / "box", free_port()
    folder.mkdir()
    mails = started(port, folder)
    sender = reporter(office, port, folder)
    try:
        wait_for(folder, 500)
        mails.kill()
        mails.wait()
        time.sleep(1.5)  # the reporter finds nobody there
        mails = started(port, folder)
        until = time.monotonic() + 120
        while (len(office.mails()) < 1000 or in_doubt(office)) and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1)
    finally:
        sender.kill()
        mails.kill()
        sender.wait()
        mails.wait()
    got = received(folder)
    assert set(got) == set(addresses)
    [sent_again] = office.connection.execute(
        "SELECT array_agg(address) FROM kpi_admin.report_mail "
        "JOIN kpi_admin.report_subscription USING (subscription_no) WHERE times > 1"
    )
    twice = [address for address, times in got.items() if times > 1]
    assert len(twice) <= 1 and {*twice} <= {*(sent_again[0] or [])}
    assert in_doubt(office) == set()
    assert (tmp_path / "said").read_text().count("the mail server cannot be used") >= 1


def test_a_reporter_that_is_killed_again_and_again(office: Office, tmp_path: Path) -> None:
    addresses = [f"reader{number}@example.org" for number in range(200)]
    office.subscribe(*addresses)
    folder, port = tmp_path / "box", free_port()
    folder.mkdir()
    mails = started(port, folder)
    server = MailServer("127.0.0.1", port, "none", "", "", "kpi@example.org")
    kills = 0
    try:
        for enough in (40, 80, 120, 160):
            sender = reporter(office, port, folder)
            wait_for(folder, enough)
            sender.send_signal(signal.SIGKILL)
            sender.wait()
            kills += 1
        with suppress(Away):
            send(office.connection, SETTINGS, server)
    finally:
        mails.kill()
        mails.wait()
    got, doubt = received(folder), in_doubt(office)
    assert set(got.values()) == {1}
    assert len(doubt) <= kills and set(addresses) - set(got) <= doubt
