"""The runbooks: a page for each alert rule, made from alerts.toml but for its advice.

What stands below the mark is written by hand, and generating leaves it as it is.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from datasource.grafana.alerts import Alerts, Number, OfInstallation, OfKpi, OfTenant, Rule
from datasource.grafana.scene import uid

FOLDER = "docs/runbooks"
MARK = "<!-- What stands below this line is written by hand, and stays. -->"
EMPTY = "\n\n## What to do\n\nNobody has written this yet.\n"
NO_DATA = {
    "ok": "nothing is wrong: the alert ends",
    "firing": "something is wrong: the alert fires",
}


def build(found: Alerts, top: Path) -> dict[str, str]:
    """Return the pages by path, with the advice that those below `top` have now."""
    pages = {}
    for name, rule in found.rules.items():
        path = f"{FOLDER}/{name}.md"
        advice = advice_of(top / path) or EMPTY
        pages[path] = f"{head(name, rule)}\n{MARK}{advice}"
    return pages


def advice_of(path: Path) -> str:
    """Return what is written by hand in a runbook; nothing when there is none."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.partition(MARK)[2]


def head(name: str, rule: Rule) -> str:
    """Return the part of a page that is generated."""
    lines = [
        f"# Alert: {rule.title.en} ({rule.title.nl})",
        "",
        rule.meaning,
        "",
        "| | |",
        "|---|---|",
    ]
    lines += [f"| {title} | {words} |" for title, words in _rows(name, rule)]
    return "\n".join([*lines, ""])


def _rows(name: str, rule: Rule) -> Iterator[tuple[str, str]]:
    """Give what a rule says, as the rows of a table."""
    for key, number in rule.numbers.items():
        yield f"`{key}`", _asked(number)
    yield "fires when", f"`{rule.condition().replace('|', chr(92) + '|')}`"
    yield "for", f"{rule.lasts} on end; looked at every {rule.every}"
    yield "severity", rule.severity
    yield "no data means", NO_DATA[rule.no_data]
    yield "message", _shown(rule.summary.en)
    yield "in Dutch", _shown(rule.summary.nl)
    board = uid(rule.panel.board, "en")
    yield "panel", f"`{rule.panel.key}` of the dashboard `{board}`"
    if rule.tenants:  # Not which: the server shows this page to whoever asks.
        yield "other limits", f"of {len(rule.tenants)} tenants"
    yield (
        "where",
        f"`[rules.{name}]` in `datasource/grafana/alerts.toml`, then `.venv/bin/chatkpi dashboards`"
        ": [the steps](../server.md#change-a-threshold)",
    )
    yield "commands", "[how they and statements are run](../operate.md#commands-and-sql)"


def _shown(summary: str) -> str:
    return summary.replace("{", "`").replace("}", "`")


def _asked(number: Number) -> str:
    """Return in words what a number is."""
    if isinstance(number, OfKpi):
        words = f"`{number.kpi}` over the last {number.last}"
        return f"what is usual of {words}" if number.usual else words
    lists: Mapping[type, str] = {OfTenant: "tenants", OfInstallation: "installation"}
    column = getattr(number, "column", "")
    return f"`{column}` of the list `{lists[type(number)]}`"
