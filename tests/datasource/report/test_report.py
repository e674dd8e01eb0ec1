"""What stands in a report: the numbers of SQL, the words of the catalogue, and nothing hostile."""

import re
import struct
import zlib
from datetime import date
from decimal import Decimal
from email.message import EmailMessage
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from psycopg.types.json import Jsonb

from datasource.catalog import Catalog
from datasource.cli import main
from datasource.report.message import render
from datasource.report.numbers import Contents, report
from datasource.report.picture import HEIGHT, WIDTH, bars
from datasource.report.words import Words
from tests.datasource.report.conftest import Office

DAY = date(2026, 3, 2)
FILTERS = Jsonb({"tenant": "a", "experience": "x"})


def body(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert isinstance(found, EmailMessage)
    return str(found.get_content()).replace("\r\n", "\n")


def sent(office: Office, language: str = "en") -> EmailMessage:
    office.subscribe("ann@example.org", language=language)
    assert office.send().reports == 1
    [mail] = office.box.taken
    return mail


def test_the_kpis_can_be_told_of_an_experience_and_of_a_day() -> None:
    contents, kpis = Contents.read(), Catalog.read().kpis
    for kpi_id in (*contents.essential, contents.pictured):
        assert "experience" in kpis[kpi_id].dims and kpis[kpi_id].grain == "day", kpi_id
    assert len(set(contents.essential)) == len(contents.essential)


def test_its_numbers_are_those_of_sql(office: Office) -> None:
    mail = sent(office)
    rows = dict(
        re.findall(
            r'<tr><th scope="row">(.*?)</th><td class="value">(.*?)</td>', body(mail, "html")
        )
    )
    assert len(rows) >= 5
    kpis, words = Catalog.read().kpis, Words("en")
    for kpi_id in Contents.read().essential:
        [(value,)] = office.connection.execute(
            "SELECT value FROM kpi.total(%s, '2026-03-02'::date, '2026-03-03'::date, %s)",
            [kpi_id, FILTERS],
        ).fetchall()
        title = kpis[kpi_id].words["en"][0]
        assert unescape(rows.get(title, "none")) == words.value(value, kpis[kpi_id].unit), kpi_id
        if title in rows:
            assert f"{title}: {words.value(value, kpis[kpi_id].unit)}\n" in body(mail, "plain")


def test_it_is_held_against_the_day_before_and_the_usual(office: Office) -> None:
    found = report(office.connection, "a", "x", DAY)
    by_id = {line.kpi.kpi_id: line for line in found.lines}
    for kpi_id, line in by_id.items():
        for compare, value in (("previous", line.previous), ("usual", line.usual)):
            question = {"kpis": [kpi_id], "kpi": kpi_id, "shape": "total", "compare": compare,
                        "last": "1 day", "filters": [{"tenant": "a", "experience": "x"}]}  # fmt: skip
            [(row,)] = office.connection.execute(
                "SELECT kpi_http.rows(kpi_http.read(%s))::jsonb", [Jsonb(question)]
            ).fetchall()
            assert row[compare] == (None if value is None else float(value)), (kpi_id, compare)
    assert len(found.days) == Contents.read().days and found.days[-1] == by_id["sessions"].value


@pytest.mark.parametrize("language", ["en", "nl"])
def test_its_words_are_those_of_the_catalogue_in_the_readers_language(
    office: Office, language: str
) -> None:
    mail = sent(office, language)
    title, _ = Catalog.read().kpis["sessions_with_conversation"].words[language]
    assert title in body(mail, "html") and title in body(mail, "plain")
    assert f'<html lang="{language}">' in body(mail, "html")
    weekday = {"en": "Monday 2 Mar 2026", "nl": "maandag 2 mrt 2026"}[language]
    assert weekday in body(mail, "html") and weekday in body(mail, "plain")


def test_nothing_is_loaded_from_elsewhere_and_no_token_is_in_it(office: Office) -> None:
    mail = sent(office)
    page = body(mail, "html")
    assert re.findall(r'src="([^"]*)"', page) == ["cid:picture"]
    assert not re.search(r"url\(|@import|<link|<script|chatkpi_", page)
    [picture] = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert picture["Content-ID"] == "<picture>" and picture.get_content_disposition() == "inline"
    links = set(re.findall(r'href="([^"]*)"', page))
    assert {urlsplit(link).netloc for link in links} == {"kpi.example", "grafana.example"}


def test_it_links_to_the_dashboard_with_its_variables(office: Office) -> None:
    [link] = re.findall(r"https://grafana\.example\S+", body(sent(office), "plain"))
    parts = urlsplit(link)
    assert parts.path == "/d/chatkpi-en-experience-overview"
    assert parse_qs(parts.query) == {
        "var-datasource": ["chatkpi"], "var-tenant": ["a"], "var-experience": ["x"],
        "from": ["1772406000000"], "to": ["1772492399999"],  # 2 March in Amsterdam
    }  # fmt: skip


def test_its_id_is_the_same_however_often_it_is_made(office: Office) -> None:
    office.box.answers = {"end": "451 try again"}
    office.subscribe("ann@example.org")
    office.send()
    office.box.answers = {}
    office.send()
    first, second = office.box.taken
    assert first["Message-ID"] == second["Message-ID"]
    assert re.fullmatch(r"<report\.\d+\.2026-03-02@kpi\.example>", second["Message-ID"])


def test_a_hostile_name_breaks_neither_headers_nor_the_page(office: Office) -> None:
    name = "Quiz\r\nBcc: eve@example.com\r\n\r\n<script>x</script>\u202e\x00 " + "y" * 500
    office.connection.execute(
        "UPDATE kpi_data.experience SET name = %s WHERE id = 'x'", [name.replace("\x00", "\x01")]
    )
    mail = sent(office)
    assert mail["Bcc"] is None and "Quiz Bcc: eve@example.com <script>" in mail["Subject"]
    assert office.box.to == ["ann@example.org"]
    page = body(mail, "html")
    assert "<script>" not in page and "&lt;script&gt;" in page and "\u202e" not in page


def test_every_line_of_a_mail_is_short_enough_for_smtp(office: Office) -> None:
    mail = sent(office)
    assert max(map(len, mail.as_bytes().splitlines())) <= 998


def test_the_picture_is_a_png_of_bars() -> None:
    picture = bars([Decimal(0), Decimal(10), None, Decimal(5)])
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert (width, height) == (WIDTH, HEIGHT)
    at = picture.index(b"IDAT")
    [length] = struct.unpack(">I", picture[at - 4 : at])
    pixels = zlib.decompress(picture[at + 4 : at + 4 + length])
    rows = [pixels[n * (WIDTH + 1) + 1 : (n + 1) * (WIDTH + 1)] for n in range(HEIGHT)]
    middle = rows[HEIGHT // 4]
    step = WIDTH // 4
    tops = [middle[number * step + step // 3] for number in range(4)]
    assert tops == [0, 1, 0, 0]
    assert rows[HEIGHT * 3 // 4][3 * step + step // 3] == 2, "the last is of another colour"
    assert bars([]) and bars([None]) and bars([Decimal(0)])


def test_what_the_picture_shows_is_said_in_words(office: Office) -> None:
    rendered = render(report(office.connection, "a", "x", DAY), "en")
    alt = rendered.content["picture_alt"]
    assert "Sessions per day, 3 Feb 2026 to 2 Mar 2026" in alt
    assert "highest 1 on 2 Mar 2026" in alt


@pytest.mark.parametrize(
    ("value", "other", "unit", "words"),
    [
        ("12", "10", "none", "+20 %"), ("9", "10", "none", "−10 %"), ("10", "10", "none", "no change"),
        ("3", "0", "none", ""), ("41.2", "40", "percent", "+1.2 points"),
        ("-10", "20", "score -100..100", "−30 points"), ("1.5", "3", "minutes", "−50 %"),
    ],
)  # fmt: skip
def test_changes_in_words(value: str, other: str, unit: str, words: str) -> None:
    assert Words("en").change(Decimal(value), Decimal(other), unit) == words
    assert Words("en").change(None, Decimal(other), unit) == ""
    assert Words("en").change(Decimal(value), None, unit) == ""


def test_numbers_in_two_languages() -> None:
    assert Words("en").value(Decimal("1234.56"), "minutes") == "1,234.6 min"
    assert Words("nl").value(Decimal("-1234.56"), "minutes") == "−1.234,6 min"
    assert Words("nl").value(None, "none") == "geen"


def test_print(
    office: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", office.url)
    assert main(["report", "--print", "a", "x"]) == 0
    assert "Daily report: Quiz" in capsys.readouterr().out
    assert main(["report", "--print", "a", "x", "--language", "nl", "--html"]) == 0
    assert 'src="data:image/png;base64,' in capsys.readouterr().out
    for wrong in (["a", "nothing"], ["nobody", "x"]):
        assert main(["report", "--print", *wrong]) == 1
    assert main(["report"]) == 2 and main(["report", "--send", "--watch"]) == 2
    assert main(["report", "--send", "--html"]) == 2


def test_what_is_not_set_is_said(
    office: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", office.url)
    assert main(["report", "--send"]) == 1
    assert "CHATKPI_REPORT_URL" in capsys.readouterr().err
    monkeypatch.setenv("CHATKPI_REPORT_URL", "https://kpi.example")
    monkeypatch.setenv("CHATKPI_REPORT_DOMAINS", "example.org")
    assert main(["report", "--send"]) == 1
    assert "CHATKPI_SMTP_HOST" in capsys.readouterr().err


def test_remove_ends_all_reports_of_an_address(
    office: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", office.url)
    office.subscribe("ann@example.org", "bob@example.org")
    assert main(["report", "--remove", "Ann@example.org"]) == 0
    assert capsys.readouterr().out == "ended 1 reports\n"
    assert office.send().reports == 1 and office.box.to == ["bob@example.org"]


@pytest.mark.parametrize("value", ["1" + "0" * 100, "-1" + "2" * 60 + ".5"])
def test_numbers_of_as_many_digits_as_records_may_have(value: str) -> None:
    number, words = Decimal(value), Words("en")
    assert words.value(number, "minutes").startswith(words.digits(number))
    assert words.digits(number).replace(",", "").replace("−", "-") == value
    for unit in ("none", "percent"):
        assert words.change(number, Decimal(3), unit) and words.change(Decimal(3), number, unit)
    assert bars([number, Decimal(1)])
