"""How a report starts and ends: only as its address says, and only for who may see the numbers."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from email.message import EmailMessage
from hashlib import sha256
from hmac import new as hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from datasource.protocol import tokens
from datasource.protocol.app import create_app
from datasource.report.settings import ReportSettings, normal
from datasource.store.connection import connect
from tests.datasource.report.conftest import Office

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ASKED = {"tenant": "a", "experience": "x", "address": "ann@example.org", "language": "en"}


class Site:
    """The server's pages, as a browser and as a mail program have them."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.http = create_app(office.url).test_client(use_cookies=False)
        self.tokens = {
            name: tokens.create(office.connection, name, tenants)
            for name, tenants in {"of_a": ["a"], "of_b": ["b"], "of_all": None}.items()
        }

    def bell(self, token: str = "of_a", **given: str) -> TestResponse:
        header = {"Authorization": f"Bearer {self.tokens[token]}"}
        return self.http.get("/report/bell", query_string=ASKED | given, headers=header)

    def link(self, **given: str) -> str:
        """Return the link to ask by, without the site's name."""
        answer = self.bell(**given)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"].removeprefix("https://kpi.example")

    def ask(
        self, address: str, *, link: str = "", experience: str = "x", language: str = "en"
    ) -> TestResponse:
        form = {"address": address, "experience": experience, "language": language}
        return self.http.post(link or self.link(), data=form, headers=HTML)

    def mailed(self) -> EmailMessage:
        """Send what is to be sent; return the last mail."""
        self.office.send()
        return self.office.box.taken[-1]

    def subscribers(self) -> list[tuple[str, str, str]]:
        return self.office.connection.execute(
            "SELECT address, experience, language FROM kpi_admin.report_subscription ORDER BY 1"
        ).fetchall()

    def requests(self) -> int:
        [(count,)] = self.office.connection.execute("SELECT count(*) FROM kpi_admin.report_request")
        return int(count)


@pytest.fixture
def site(office: Office, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("CHATKPI_REPORT_URL", "https://kpi.example")
    monkeypatch.setenv("CHATKPI_REPORT_DOMAINS", "example.org")
    yield Site(office)


def links(mail: EmailMessage) -> list[str]:
    body = mail.get_body(("plain",))
    assert body
    return re.findall(r"https://kpi\.example(/report/\S+)", body.get_content())


def test_a_report_starts_when_its_address_says_so(site: Site) -> None:
    form = site.http.get(site.link(), headers=HTML)
    assert form.status_code == 200 and 'value="ann@example.org"' in form.text
    assert '<option value="x" selected>Quiz' in form.text and "Ámo" in form.text
    assert site.ask("Ann@Example.org").status_code == 200
    mail = site.mailed()
    assert mail["To"] == "ann@example.org" and site.subscribers() == []
    [start] = links(mail)
    assert site.http.get(start, headers=HTML).status_code == 200
    assert site.subscribers() == [], "looking at a page changes nothing"
    for _ in range(2):
        assert site.http.post(start, headers=HTML).status_code == 200
        assert site.subscribers() == [("ann@example.org", "x", "en")]


@pytest.mark.parametrize("given", ["{x}", "{x,y}", "x"])
def test_the_experience_of_the_dashboard_is_chosen_already(site: Site, given: str) -> None:
    site.office.connection.execute(
        "INSERT INTO kpi_data.experience (tenant_no, id, name, load_no) "
        "SELECT tenant_no, 'first', 'A', 1 FROM kpi_data.tenant_number WHERE tenant = 'a'"
    )
    assert '<option value="x" selected>Quiz' in site.http.get(site.link(experience=given)).text


def test_a_report_ends_with_a_click_in_any_mail_and_the_address_goes(site: Site) -> None:
    site.ask("ann@example.org", language="nl")
    site.http.post(links(site.mailed())[0])
    report = site.mailed()
    assert report["Content-Language"] == "nl"
    [stop] = links(report)
    assert report["List-Unsubscribe"] == f"<https://kpi.example{stop}>"
    assert report["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert site.http.get(stop, headers=HTML).status_code == 200
    assert site.subscribers() == [("ann@example.org", "x", "nl")]
    # As a mail program sends it: no cookie, no page, just this.
    one_click = site.http.post(stop, data={"List-Unsubscribe": "One-Click"})
    assert one_click.status_code == 200 and site.subscribers() == []
    assert site.http.post(stop, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert site.http.get(stop, headers=HTML).status_code == 200
    everything = site.office.connection.execute(
        "SELECT to_jsonb(r)::text FROM kpi_admin.report_request AS r UNION ALL "
        "SELECT to_jsonb(s)::text FROM kpi_admin.report_subscription AS s UNION ALL "
        "SELECT to_jsonb(m)::text FROM kpi_admin.report_mail AS m"
    ).fetchall()
    assert "ann@" not in str(everything)


def test_one_click_also_comes_as_multipart(site: Site) -> None:
    site.office.subscribe("ann@example.org")
    [stop] = links(site.mailed())
    body = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    assert site.http.post(stop, data=body, headers=kind).status_code == 200
    assert site.subscribers() == []


def test_nothing_tells_whether_an_address_gets_a_report(site: Site) -> None:
    new = site.ask("bob@example.org").text
    site.office.subscribe("ann@example.org")
    assert site.ask("ann@example.org").text == new
    assert site.ask("ann@example.org").text == new
    site.office.send()
    had = next(mail for mail in site.office.box.taken if mail["To"] == "ann@example.org")
    assert "/report/stop?" in links(had)[0], "who has it is told how to end it"


def test_an_address_is_not_flooded(site: Site) -> None:
    for _ in range(3):
        assert site.ask("ann@example.org").status_code == 200
    assert site.requests() == 1
    site.office.connection.execute(
        "INSERT INTO kpi_data.experience (tenant_no, id, load_no) "
        "SELECT tenant_no, 'x' || n, 1 FROM kpi_data.tenant_number, generate_series(1, 9) AS n "
        "WHERE tenant = 'a'"
    )
    for number in range(1, 10):
        assert site.ask("ann@example.org", experience=f"x{number}").status_code == 200
    assert site.requests() == 5


def test_a_token_asks_for_a_hundred_an_hour(site: Site) -> None:
    link = site.link()
    for number in range(100):
        assert site.ask(f"a{number}@example.org", link=link).status_code == 200
    refused = site.ask("late@example.org", link=link)
    assert refused.status_code == 429 and refused.headers["Retry-After"] == "3600"
    assert site.ask("bob@example.org", link=site.link(token="of_all")).status_code == 200


def test_who_may_ask_for_what(site: Site) -> None:
    assert site.bell(token="of_b").status_code == 403
    assert site.bell(token="of_b", tenant="nobody").status_code == 403
    assert site.bell(token="of_all", tenant="nobody").status_code == 422
    assert site.bell(token="of_all").status_code == 303
    assert site.http.get("/report/bell", query_string=ASKED).status_code == 401
    wrong = site.ask("ann@example.org", experience="of another tenant")
    assert wrong.status_code == 422 and site.requests() == 0


def test_a_link_dies_with_its_token(site: Site) -> None:
    link = site.link()
    site.ask("ann@example.org", link=link)
    start = links(site.mailed())[0]
    tokens.revoke(site.office.connection, "of_a")
    assert site.ask("bob@example.org", link=link).status_code == 422
    assert site.http.post(start).status_code == 422
    assert site.subscribers() == []


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com", "ann@example.org.evil.com", "ann@sub.example.org", "ann", "@example.org",
        "ann@example.org\r\nBcc: eve@example.com", "ann@example.org,eve@example.com", "a b@example.org",
        "ann@example.org>", '"a b"@example.org', "ánn@example.org", "ann@example.org\0", "",
        f"{'a' * 65}@example.org",
    ],
)  # fmt: skip
def test_an_address_that_may_not_get_it_is_refused(site: Site, address: str) -> None:
    answer = site.ask(address)
    assert answer.status_code == 422 and "cannot get the report" in answer.text
    assert site.requests() == 0


def test_domains_that_name_a_tenant_stand_in_place_of_those_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHATKPI_REPORT_DOMAINS", "Example.org, a=a.example a=b.example")
    settings = ReportSettings.of_environment()
    assert settings.allows("b", "ann@example.org") and not settings.allows("b", "ann@a.example")
    assert settings.allows("a", "ann@b.example") and not settings.allows("a", "ann@example.org")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("URL", "http://kpi.example"), ("URL", "kpi.example"), ("URL", "https://u:p@kpi.example"),
        ("URL", "https://kpi.example/?a=b"), ("URL", "https://kpi.example/\tx"),
        ("GRAFANA", "javascript:alert(1)"), ("DOMAINS", "example.org;x"), ("DOMAINS", "@example.org"),
        ("HOUR", "24"), ("HOUR", "-1"), ("HOUR", "x"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CHATKPI_REPORT_{name}", value)
    with pytest.raises(ValueError, match=f"CHATKPI_REPORT_{name}"):
        ReportSettings.of_environment()


def test_without_settings_there_are_no_reports(office: Office) -> None:
    http = create_app(office.url).test_client()
    for path in ("/report/bell", "/report/ask?link=x", "/report/stop?link=x"):
        answer = http.get(path)
        assert (answer.status_code, answer.json["code"]) == (404, "no_reports")
        assert "sends no reports" in http.get(path, headers=HTML).text


def unsigned(link: str) -> dict[str, Any]:
    body = link.partition(".")[0]
    said: dict[str, Any] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return said


def test_links_are_signed_as_rfc_2104_has_it(site: Site) -> None:
    [link] = parse_qs(urlsplit(site.link()).query)["link"]
    body, _, signature = link.partition(".")
    [(key,)] = site.office.connection.execute("SELECT key FROM kpi_admin.report_key").fetchall()
    assert signature == hmac(key, body.encode(), sha256).hexdigest()
    assert unsigned(link)["token"] == "of_a"


def test_a_link_that_was_changed_or_is_for_something_else_does_nothing(site: Site) -> None:
    [link] = parse_qs(urlsplit(site.link()).query)["link"]
    body, _, signature = link.partition(".")
    other = urlsafe_b64encode(json.dumps(unsigned(link) | {"tenant_no": 2}).encode()).decode()
    changed = [
        f"{other.rstrip('=')}.{signature}", f"{body}.{'0' * 64}", f"{body}.", body, "", "x", "\0",
        "a" * 9000, f"{body[:-1]}.{signature}", f"{body}.{signature.upper()}",
    ]  # fmt: skip
    for one in changed:
        for path in ("ask", "start", "stop"):
            for method in (site.http.get, site.http.post):
                answer = method(f"/report/{path}", query_string={"link": one})
                assert (answer.status_code, answer.json["code"]) == (422, "invalid_link"), one
    for path in ("start", "stop"):
        assert site.http.post(f"/report/{path}", query_string={"link": link}).status_code == 422


def test_links_to_ask_and_to_start_expire_and_those_to_stop_do_not(site: Site) -> None:
    sign = "SELECT kpi_admin.signed_link(%s::jsonb || jsonb_build_object('until', now() - interval '1 s'))"
    for purpose in ("ask", "start"):
        said = json.dumps({"purpose": purpose, "request": 1, "tenant_no": 1, "token": "of_a"})
        [(link,)] = site.office.connection.execute(sign, [said]).fetchall()
        answer = site.http.post(f"/report/{purpose}", query_string={"link": link})
        assert (answer.status_code, answer.json["code"]) == (422, "expired_link")
    site.ask("ann@example.org")
    assert "until" in unsigned(parse_qs(urlsplit(links(site.mailed())[0]).query)["link"][0])
    site.office.subscribe("bob@example.org")
    assert "until" not in unsigned(parse_qs(urlsplit(links(site.mailed())[0]).query)["link"][0])


def test_requests_that_nobody_confirms_are_forgotten(site: Site) -> None:
    site.ask("ann@example.org")
    [start] = links(site.mailed())
    site.office.connection.execute(
        "UPDATE kpi_admin.report_request SET asked_at = now() - interval '49 hours'"
    )
    site.office.send()
    assert site.requests() == 0
    assert site.http.post(start).status_code == 422


def test_the_server_can_neither_read_addresses_nor_sign_what_it_likes(office: Office) -> None:
    with connect(re.sub("chatkpi@", "kpi_server@", office.url), autocommit=True) as server:
        for statement in (
            "SELECT * FROM kpi_admin.report_subscription",
            "SELECT * FROM kpi_admin.report_request",
            "SELECT * FROM kpi_admin.report_key",
            "SELECT kpi_admin.signed_link('{}')",
            "SELECT * FROM kpi_admin.reports_due(0)",
            "SELECT * FROM kpi_admin.report_requests()",
        ):
            with pytest.raises(Exception, match="permission denied"):
                server.execute(statement.encode())


def test_addresses_have_one_form() -> None:
    assert normal(" Ann.B+x@Example.ORG ") == "ann.b+x@example.org"
    assert normal("ann@example..org") is None and normal("ann@-x.org") is None
