"""The mails: a report, and the one that asks an address whether it wants it. HTML and text."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from datasource.grafana.scene import uid
from datasource.report.numbers import Line, Report
from datasource.report.picture import HEIGHT, WIDTH, bars
from datasource.report.words import Words

BOARD = "experience_overview"
PICTURE = "picture"
SUBJECT_CHARACTERS = 150
# Lines of ASCII, however a mail server treats others.
MAIL = policy.SMTP.clone(cte_type="7bit")
# Whatever does not print: a name from a record must not bring a line break, or turn the text round.
UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


@dataclass(frozen=True)
class Envelope:
    """To whom a mail goes, from whom, and the addresses of the sites that it links to.

    `stop`: the signed part of the link that ends the report.
    """

    sender: str
    address: str
    language: str
    url: str
    grafana: str
    datasource: str
    stop: str

    def link(self, action: str, signed: str) -> str:
        """Return the address of a page of the server."""
        return f"{self.url}/report/{action}?{urlencode({'link': signed})}"


@dataclass(frozen=True)
class Rendered:
    """A report in one language, without its links: the same for all who get it."""

    language: str
    subject: str
    content: dict[str, Any]
    picture: bytes


def plain(text: str) -> str:
    """Return a text on one line, without what does not print."""
    return UNSEEN.sub(" ", text).strip()


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html_of(name: str, **content: object) -> str:
    """Return a template of the folder `templates`, filled in."""
    return _templates().get_template(name).render(**content)


def render(report: Report, language: str) -> Rendered:
    """Return what a report says in a language."""
    words = Words(language)
    experience, tenant = plain(report.experience_name), plain(report.tenant_name)
    day = words.day(report.day, with_weekday=True)
    title, _ = report.pictured.words[language]
    [latest] = report.days[-1:] or [None]
    span = {"first": words.day(report.first_day), "last": words.day(report.day), "kpi": title}
    subject = words(
        "subject",
        experience=experience[:SUBJECT_CHARACTERS],
        kpi=title,
        value=words.value(latest, report.pictured.unit),
        day=words.day(report.day),
    )
    content = {
        "words": words,
        "heading": words("heading", experience=experience),
        "about_day": words("about_day", tenant=tenant, day=day),
        "usual": words("usual", weekday=words.weekday(report.day)),
        "lines": [_line(line, words) for line in report.lines],
        "picture": words("picture", **span),
        "picture_alt": words("picture_alt", **span, **_extremes(report, words)),
        "size": (WIDTH // 2, HEIGHT // 2),
    }
    return Rendered(language, subject, content, bars(report.days))


def _line(line: Line, words: Words) -> dict[str, str]:
    unit = line.kpi.unit
    found = {"title": line.kpi.words[words.language][0], "value": words.value(line.value, unit)}
    for name, other in (("before", line.previous), ("usual", line.usual)):
        found[name] = words.value(other, unit)
        found[f"{name}_change"] = words.change(line.value, other, unit)
    return found


def _extremes(report: Report, words: Words) -> dict[str, str]:
    """Return the lowest and the highest day of the picture, and the last, in words."""
    unit = report.pictured.unit
    days = [report.first_day + timedelta(days=n) for n in range(len(report.days))]
    known = [
        (value, day) for value, day in zip(report.days, days, strict=True) if value is not None
    ]
    low, high = (min(known), max(known)) if known else ((None, report.day),) * 2
    return {
        "low": words.value(low[0], unit),
        "low_day": words.day(low[1]),
        "high": words.value(high[0], unit),
        "high_day": words.day(high[1]),
        "value": words.value(report.days[-1] if report.days else None, unit),
    }


def dashboard(envelope: Envelope, report: Report, starts: datetime, ends: datetime) -> str:
    """Return the link to the dashboard of the experience on that day; "" without a Grafana."""
    if not envelope.grafana:
        return ""
    asked = {
        "var-datasource": envelope.datasource,
        "var-tenant": report.tenant,
        "var-experience": report.experience,
        "from": round(starts.timestamp() * 1000),
        "to": round(ends.timestamp() * 1000) - 1,  # Grafana's days end a millisecond early
    }
    return (
        f"{envelope.grafana}/d/{uid(BOARD, envelope.language)}?{urlencode(asked, quote_via=quote)}"
    )


def daily(
    rendered: Rendered, envelope: Envelope, board: str, number: int, day: date
) -> EmailMessage:
    """Return the mail of a report.

    `board` is the link to the dashboard; `number` of the subscription and `day` make an id that
    the mail has whenever it is made.
    """
    stop = envelope.link("stop", envelope.stop)
    content = rendered.content | {"board": board, "stop": stop, "language": rendered.language}
    mail = _mail(rendered.subject, envelope, f"report.{number}.{day.isoformat()}")
    mail["List-Unsubscribe"] = f"<{stop}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(html_of("report.txt", **content))
    mail.add_alternative(html_of("report.html", **content), subtype="html")
    _, page = mail.iter_parts()
    assert isinstance(page, EmailMessage)
    page.add_related(rendered.picture, "image", "png", cid=f"<{PICTURE}>", disposition="inline")
    mail["Content-Language"] = rendered.language  # at the end, for parts take such headers away
    return mail


def question(
    envelope: Envelope, names: dict[str, str], link: str, number: int, *, is_subscribed: bool
) -> EmailMessage:
    """Return the mail that asks an address to start a report, or says that it gets it already.

    `names`: those of the `tenant` and the `experience`; `link`: the signed part of the answer's.
    """
    words = Words(envelope.language)
    kind = "have" if is_subscribed else "ask"
    named = {name: plain(text) for name, text in names.items()}
    content = {
        "heading": words(f"{kind}_heading"),
        "body": words(f"{kind}_body", **named),
        "button": words("stop" if is_subscribed else "ask_link"),
        "link": envelope.link("stop" if is_subscribed else "start", link),
        "language": envelope.language,
    }
    short = {name: text[:SUBJECT_CHARACTERS] for name, text in named.items()}
    mail = _mail(words(f"{kind}_subject", **short), envelope, f"question.{number}")
    mail.set_content(html_of("question.txt", **content))
    mail.add_alternative(html_of("question.html", **content), subtype="html")
    mail["Content-Language"] = envelope.language
    return mail


def _mail(subject: str, envelope: Envelope, name: str) -> EmailMessage:
    """Return a mail with its headers. Raises ValueError if one held a line break."""
    mail = EmailMessage(policy=MAIL)
    mail["From"] = f"chatkpi <{envelope.sender}>"
    mail["To"] = envelope.address
    mail["Subject"] = subject
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = f"<{name}@{urlsplit(envelope.url).hostname}>"
    mail["Auto-Submitted"] = "auto-generated"
    return mail
