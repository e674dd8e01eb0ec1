"""The alert rules: what alerts.toml says of each, read into dataclasses and made for Grafana.

A rule asks for some numbers by tenant and fires for each tenant for which its condition holds.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from string import Template
from typing import Literal

from datasource.catalog import Catalog
from datasource.grafana.boards import keys_of
from datasource.grafana.panels.base import panel_number
from datasource.grafana.question import PLUGIN, Column, Json, Question, target, text
from datasource.grafana.scene import uid as board_uid
from datasource.grafana.spec import Board
from datasource.grafana.strict import Reader, SpecError
from datasource.grafana.words import FOLDER, KpiId, Text, toml

FILE = "alerts.toml"
RULES = "provisioning/alerting/rules.yaml"
SOURCE = {"type": PLUGIN, "uid": "chatkpi"}
FIRES = "fires"  # the name of the condition among the numbers of a rule
# The data source's own way to the server: Grafana fills in its address when it writes a message.
RUNBOOK = "{{{{ externalURL }}}}api/datasources/proxy/uid/chatkpi/runbooks/{}"
NO_DATA = {"ok": "OK", "firing": "Alerting"}
is_number_name = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number that a rule asks for; each kind is a subclass."""

    def asked(self, tenants: Mapping[str, object]) -> Question:
        """Return the question, narrowed to some tenants."""
        raise NotImplementedError

    def columns(self) -> tuple[Column, ...]:
        """Return the columns of the answer: the tenant, and exactly one number."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class OfKpi(Number):
    """A KPI of each tenant, over the whole hours or days of `last`, by the tenant's own clock.

    `usual`: not the number itself but what it was on the same days of the four weeks before.
    `every`: tenants that have nothing have the number 0, and are not left out.
    """

    kpi: KpiId
    last: str
    usual: bool = False
    every: bool = False

    def asked(self, tenants: Mapping[str, object]) -> Question:
        """Return the question, narrowed to some tenants."""
        return Question(
            kpis=[self.kpi],
            shape="total",
            by=["tenant"],
            last=self.last,
            compare="usual" if self.usual else "",
            all_groups=self.every,
            filters=dict(tenants),  # type: ignore[arg-type]
        )

    def columns(self) -> tuple[Column, ...]:
        """Return the tenant's id and name, and the number."""
        name = "usual" if self.usual else "value"
        return (*text("tenant", "tenant_name"), Column(name, text="value"))


@dataclass(frozen=True, kw_only=True)
class OfTenant(Number):
    """How each tenant stands now: a column of the list `tenants`."""

    column: str

    def asked(self, tenants: Mapping[str, object]) -> Question:
        """Return the question, narrowed to some tenants."""
        return Question(list="tenants", is_ranged=False, filters=dict(tenants))  # type: ignore[arg-type]

    def columns(self) -> tuple[Column, ...]:
        """Return the tenant's id and name, called as KPIs call them, and the number."""
        names = (Column("id", "string", "tenant"), Column("name", "string", "tenant_name"))
        return (*names, Column(self.column, text="value"))


@dataclass(frozen=True, kw_only=True)
class OfInstallation(Number):
    """How the installation stands now: a column of the list `installation`."""

    column: str

    def asked(self, tenants: Mapping[str, object]) -> Question:
        """Return the question; it is about no tenant."""
        return Question(list="installation", is_ranged=False, filters={})

    def columns(self) -> tuple[Column, ...]:
        """Return the number."""
        return (Column(self.column, text="value"),)


KINDS: dict[str, type] = {"kpi": OfKpi, "tenant": OfTenant, "installation": OfInstallation}


@dataclass(frozen=True, kw_only=True)
class PanelKey:
    """The panel that shows the number of a rule: the dashboard's name, and the panel's key."""

    board: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a tenant has in place of a rule's own limits."""

    threshold: float | None = None
    smallest_sample: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alert rule.

    `numbers`: what it asks for, by name. `fires_when`: a condition in Grafana's math, in which
    `${name}` is a number, and `threshold` and `smallest_sample` are the rule's. `lasts`: for how
    long the condition has to hold; `every`: how often Grafana looks. `no_data`: what it means
    when a tenant has none of the numbers. `tenants`: those whose limits differ. In `summary`
    `{tenant}` is the tenant's name, and `{name}` a number. `meaning` is for the runbook.
    """

    title: Text
    summary: Text
    meaning: str
    numbers: dict[str, Number]
    fires_when: str
    threshold: float
    panel: PanelKey
    lasts: str
    every: str = "5m"
    smallest_sample: float | None = None
    severity: Literal["warning", "critical"] = "warning"
    no_data: Literal["ok", "firing"] = "ok"
    tenants: dict[str, Limits] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = set(is_number_name.findall(self.fires_when))
        if named != self.numbers.keys():
            raise ValueError("`fires_when` uses each of `numbers`, and no other")
        if ("smallest_sample" in self.fires_when) == (self.smallest_sample is None):
            raise ValueError("`fires_when` uses `smallest_sample` if there is one")
        if "threshold" not in self.fires_when:
            raise ValueError("`fires_when` uses `threshold`")

    def condition(self) -> str:
        """Return the condition with its limits filled in."""
        words = re.sub(r"\bthreshold\b", f"{self.threshold:g}", self.fires_when)
        return re.sub(r"\bsmallest_sample\b", f"{self.smallest_sample or 0:g}", words)


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """What alerts.toml says. `removed`: uids of rules that were, for Grafana to delete."""

    rules: dict[str, Rule]
    removed: tuple[str, ...] = ()


def read(catalog: Catalog, told: object = None) -> Alerts:
    """Return what alerts.toml says, or `told` in its place. Raises SpecError with every mistake."""
    reader = Reader(FILE, {KpiId: catalog.kpis}, {Number: KINDS})
    found = reader.read(Alerts, toml(FILE) if told is None else told)
    if not found:
        raise SpecError(reader.mistakes)
    return found


@cache
def alerts() -> Alerts:
    """Return the package's own alert rules. Raises SpecError."""
    return read(Catalog.read())


@dataclass(frozen=True)
class Made:
    """A rule as Grafana has it: of all tenants but those that differ, or of one that does."""

    uid: str
    name: str
    rule: Rule
    tenants: Mapping[str, object]
    tenant: str = ""


def made(found: Alerts) -> Iterator[Made]:
    """Give the rules that Grafana has: one of a kind, and one more for each tenant that differs."""
    for name, rule in found.rules.items():
        uid = f"chatkpi-{name.replace('_', '-')}"
        others = [*rule.tenants]
        narrowed = {"tenant": {"op": "!=", "values": others}} if others else {}
        yield Made(uid, name, rule, narrowed)
        for tenant, limits in rule.tenants.items():
            given = {key: value for key, value in vars(limits).items() if value is not None}
            # An expression that only this id meets: a tenant named outright that the token may
            # not see would be an error.
            own = {"tenant": {"op": "=~", "values": [re.escape(tenant)]}}
            digest = sha256(tenant.encode()).hexdigest()[:8]
            yield Made(f"{uid}-{digest}", name, replace(rule, **given), own, tenant)


def build(boards: Mapping[str, Board], found: Alerts) -> str:
    """Return the file of the rules, whose panels are on these dashboards. Raises SpecError."""
    template = Template((FOLDER / "templates" / "rule.yaml").read_text(encoding="utf-8"))
    mistakes, groups, uids = list[str](), dict[str, list[str]](), set[str]()
    for one in made(found):
        panel = one.rule.panel
        if panel.key not in keys_of(boards, panel.board):
            words = f"the dashboard {panel.board} has no panel {panel.key!r}"
            mistakes.append(f"{FILE}: {one.name}: {words}")
        uids.add(one.uid)
        groups.setdefault(one.rule.every, []).append(template.substitute(_words(one)))
    mistakes += [f"{FILE}: removed: {uid} is there" for uid in uids & {*found.removed}]
    if mistakes:
        raise SpecError(mistakes)
    head = (FOLDER / "templates" / "rules.yaml").read_text(encoding="utf-8")
    lines = [head.rstrip("\n")]
    for every, rules in groups.items():
        lines += ["  - orgId: 1", f"    name: chatkpi every {every}", "    folder: chatkpi alerts"]
        lines += [f"    interval: {every}", "    rules:", *(rule.rstrip("\n") for rule in rules)]
    if found.removed:
        lines += ["deleteRules:", *(f"  - {{orgId: 1, uid: {uid}}}" for uid in found.removed)]
    return "\n".join(lines) + "\n"


def _words(one: Made) -> dict[str, str]:
    """Return what fills the template of a rule; JSON is YAML too."""
    rule = one.rule
    title = f"{rule.title.en} ({one.tenant})" if one.tenant else rule.title.en
    summary = {
        language: _message(rule, rule.summary.within(language), failed)
        for language, failed in (
            ("en", "The question could not be answered."),
            ("nl", "De vraag kon niet worden beantwoord."),
        )
    }
    found = {
        "uid": one.uid,
        "title": title,
        "title_nl": rule.title.nl,
        "fires": FIRES,
        "lasts": rule.lasts,
        "no_data": NO_DATA[rule.no_data],
        "dashboard": board_uid(rule.panel.board, "en"),
        "panel": panel_number(rule.panel.key),
        "summary": summary["en"],
        "summary_nl": summary["nl"],
        "runbook": RUNBOOK.format(one.name),
        "severity": rule.severity,
    }
    data = [_query(name, number, one.tenants) for name, number in rule.numbers.items()]
    data.append(_math(rule.condition()))
    words = {name: json.dumps(value, ensure_ascii=False) for name, value in found.items()}
    indent = " " * 10
    lines = [f"{indent}- {json.dumps(query, ensure_ascii=False)}" for query in data]
    return words | {"data": "\n".join(lines)}


def _message(rule: Rule, words: str, failed: str) -> str:
    """Return a summary as Grafana's template; where there are no numbers it says that."""
    words = words.replace("{tenant}", "{{ $labels.tenant_name }}")
    for name in rule.numbers:
        words = words.replace(f"{{{name}}}", f'{{{{ printf "%.0f" $values.{name}.Value }}}}')
    # When the question failed there are no numbers; a number that is missing would say so badly.
    there = " ".join(f"$values.{name}" for name in rule.numbers)
    condition = f"and {there}" if len(rule.numbers) > 1 else there
    return f"{{{{ if {condition} }}}}{words}{{{{ else }}}}{failed}{{{{ end }}}}"


SPAN = {"from": 600, "to": 0}  # seconds; Grafana wants one, and no question reads it


def _query(name: str, number: Number, tenants: Mapping[str, object]) -> Json:
    model = target(number.asked(tenants), number.columns(), ref=name) | {"datasource": SOURCE}
    return {
        "refId": name,
        "datasourceUid": SOURCE["uid"],
        "relativeTimeRange": SPAN,
        "model": model,
    }


def _math(expression: str) -> Json:
    model = {"refId": FIRES, "type": "math", "expression": expression}
    return {
        "refId": FIRES,
        "datasourceUid": "__expr__",
        "relativeTimeRange": SPAN,
        "model": model,
    }
