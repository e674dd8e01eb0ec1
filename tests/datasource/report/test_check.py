"""`chatkpi check` tells what keeps reports from going out."""

import pytest

from datasource.cli.database_checks import NOTES, REPORTS
from datasource.protocol import tokens
from datasource.report.smtp import Away
from tests.datasource.report.conftest import Office


def wrong(office: Office) -> str:
    return "; ".join(words for (words,) in office.connection.execute(REPORTS.encode(), {}))


def notes(office: Office) -> str:
    return "; ".join(words for (words,) in office.connection.execute(NOTES.encode(), {}))


def test_nothing_is_said_where_nobody_gets_reports(office: Office) -> None:
    assert wrong(office) == "" and "report" not in notes(office)


def test_a_reporter_that_is_not_there(office: Office) -> None:
    office.subscribe("ann@example.org")
    assert wrong(office) == "no reporter has ever looked"
    office.send()
    assert wrong(office) == ""
    office.connection.execute("UPDATE kpi_admin.report_run SET ran_at = now() - interval '61 min'")
    assert wrong(office) == "no reporter has looked for 01:01:00"


def test_a_mail_server_that_is_away(office: Office) -> None:
    office.subscribe("ann@example.org")
    office.box.answers = {"mail": "530 5.7.0 Authentication required"}
    with pytest.raises(Away):
        office.send()
    said = wrong(office)
    assert "the mail server cannot be used since" in said and "530 5.7.0" in said
    office.box.answers = {}
    office.send()
    assert wrong(office) == ""


def test_mails_in_doubt_mails_refused_and_tokens_that_are_gone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasource.report.smtp.SECONDS_TO_TAKE", 0.1)
    office.subscribe("ann@example.org", "bob@example.org")
    office.box.answers = {"bob@example.org": "550 5.1.1 unknown"}
    office.box.seconds = 1.0
    with pytest.raises(Away):
        office.send()
    office.send()
    office.connection.execute(
        "UPDATE kpi_admin.report_mail SET handed_over_at = handed_over_at - interval '11 min'"
    )
    said = notes(office)
    assert "1 may not have arrived" in said and "1 were refused: 550 5.1.1 unknown" in said
    assert "example.org" not in said
    tokens.revoke(office.connection, "grafana")
    assert "2 reports wait for a token grafana" in notes(office)
