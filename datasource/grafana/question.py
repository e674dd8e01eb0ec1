"""Questions to the server, as objects; and as targets of the Infinity data source's back end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

Json = dict[str, Any]

PLUGIN = "yesoreyeram-infinity-datasource"
PLUGIN_VERSION = "3.11.1"  # what the dashboards are made for; later ones of its line fit too
PROXY = "/api/datasources/proxy/uid/${datasource}"  # Grafana's way to the server keeps the token
SOURCE = {"type": PLUGIN, "uid": "${datasource}"}
DASHBOARD = {"type": "datasource", "uid": "-- Dashboard --"}  # Grafana's own
ALL = '["*"]'  # the value of a variable that narrows nothing


@dataclass(frozen=True)
class Variable:
    """A variable of a dashboard, or of Grafana, in one of Grafana's formats."""

    name: str
    form: str = ""

    def __str__(self) -> str:
        return f"${{{self.name}:{self.form}}}" if self.form else f"${{{self.name}}}"

    def formatted(self, form: str) -> str:
        """Return it in another format, such as `text` for its words."""
        return str(Variable(self.name, form))

    def encoded(self) -> str:
        """Return it as an address has it."""
        return self.formatted("percentencode")


TENANT = Variable("tenant", "doublequote")
FROM, TO, ZONE = Variable("__timeFrom"), Variable("__timeTo"), Variable("__timezone")


def written(value: object) -> str:
    """Write JSON in which variables stand as they are, for they bring their own quotes."""
    if isinstance(value, Variable):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of POST /rows about KPIs or about a list, over the dashboard's time range.

    `filters`: by dimension, the variable that narrows it. `is_ranged`: the answer depends on the
    range; a question with `last` has its own. `more` are further fields of the request.
    """

    kpis: Sequence[str | Variable] = ()
    list: str = ""
    shape: str = ""
    by: Sequence[str] = ()
    compare: str = ""
    last: str = ""
    all_groups: bool = False
    is_ranged: bool = True
    filters: Mapping[str, Variable | str] = field(default_factory=lambda: {"tenant": TENANT})
    more: Mapping[str, object] = field(default_factory=dict)

    def body(self) -> Json:
        """Return the request's fields."""
        fields: Json = {"list": self.list} if self.list else {}
        if len(self.kpis) == 1:
            fields["kpi"] = self.kpis[0]
        elif self.kpis:
            fields["kpis"] = list(self.kpis)
        if self.last:
            fields["last"] = self.last
        elif self.is_ranged:
            # In quotes: milliseconds as digits are read as such, and stay as they are.
            fields |= {"from": str(FROM), "to": str(TO), "timezone": str(ZONE)}
        if self.by:
            fields["by"] = list(self.by)
        for name in ("shape", "compare", "all_groups"):
            if value := getattr(self, name):
                fields[name] = value
        return {**fields, **self.more, "filters": self.filters}

    def export(self, kpi: str | Variable = "", more: Mapping[str, str] | None = None) -> str:
        """Return the address of the answer as a CSV file: of a list, or of one of its KPIs."""
        name = self.list or (str(Variable(kpi.name)) if isinstance(kpi, Variable) else kpi)
        if self.last:
            fields = [("last", quote(self.last))]
        else:
            fields = [("from", "${__from}"), ("to", "${__to}"), ("timezone", "${__timezone}")]
        if self.list and self.kpis:
            fields.append(("kpi", str(self.kpis[0]).replace(":doublequote", "")))
        fields += [("shape", self.shape)] if self.shape else []
        fields += [("by", dim) for dim in self.by]
        fields += [("compare", self.compare)] if self.compare else []
        fields += [("all_groups", "true")] if self.all_groups else []
        for dim, value in self.filters.items():
            narrowed = value.encoded() if isinstance(value, Variable) else quote(value)
            fields.append(("where", f"{dim}={narrowed}"))
        fields += [*(more or {}).items(), ("bom", "1")]
        return f"{PROXY}/export/{name}.csv?" + "&".join(f"{key}={text}" for key, text in fields)


def together(questions: Mapping[str, Question]) -> Json:
    """Return the fields of POST /query that asks questions at once, each named by its key.

    They are about the dashboard's time range and differ in anything else.
    """
    targets = []
    for name, one in questions.items():
        fields = one.body()
        kpi = fields.pop("kpi")
        payload = {key: fields[key] for key in fields if key not in ("from", "to", "timezone")}
        targets.append({"refId": name, "target": kpi, "payload": payload})
    span = {"from": str(FROM), "to": str(TO)}
    return {"range": span, "timezone": str(ZONE), "targets": targets}


ColumnType = Literal["number", "string", "timestamp_epoch"]


@dataclass(frozen=True)
class Column:
    """A column of a target's frame: a field of the answer's rows, under a name of its own or its.

    Every column has a type, for one that is all null would become a string.
    """

    selector: str
    type: ColumnType = "number"
    text: str = ""

    def written(self) -> Json:
        """Return it as Infinity has it."""
        return {"selector": self.selector, "text": self.text or self.selector, "type": self.type}


TIME = Column("time", "timestamp_epoch")
VALUE = Column("value")


def text(*selectors: str) -> tuple[Column, ...]:
    """Return columns of texts."""
    return tuple(Column(selector, "string") for selector in selectors)


def numbers(*selectors: str) -> tuple[Column, ...]:
    """Return columns of numbers."""
    return tuple(Column(selector) for selector in selectors)


def target(
    asked: Question | Mapping[str, object],
    columns: Sequence[Column],
    *,
    url: str = "/rows",
    ref: str = "A",
    is_series: bool = False,
    jq: str = "",
) -> Json:
    """Return a POST of a question, or of other fields, whose answer is a frame of these columns.

    `jq`: a program that makes rows of the answer, before the columns are read.
    """
    fields = asked.body() if isinstance(asked, Question) else asked
    return {
        "refId": ref,
        "datasource": SOURCE,
        "type": "json",
        "parser": "jq-backend" if jq else "backend",
        "source": "url",
        "format": "timeseries" if is_series else "table",
        "url": url,
        "url_options": {
            "method": "POST",
            "body_type": "raw",
            "body_content_type": "application/json",
            "data": written(fields),
        },
        "root_selector": jq,
        "columns": [column.written() for column in columns],
    }


# Of answers of POST /query: one that was refused fails the panel, which then says so.
ANSWERED = "map(if .error then error(.target) else . end)"
# From series to rows, a point in time each, with a field a series.
BY_TIME = (
    f"{ANSWERED} "
    "| [.[] | .refId as $name | .datapoints[] | {time: .[1], name: $name, value: .[0]}] "
    "| group_by(.time) "
    "| map(reduce .[] as $point ({time: .[0].time}; .[$point.name] = $point.value))"
)
# From totals to one row, with a field a total, one for the total before it, and one for the
# difference, which there is only when there are both.
BEFORE, DIFFERENCE = " before", " difference"
SIDE_BY_SIDE = (
    f"{ANSWERED} | [map(.rows[0] as [$now, $then] | {{(.refId): $now, "
    f"(.refId + {json.dumps(BEFORE)}): $then, (.refId + {json.dumps(DIFFERENCE)}): "
    "(if $now == null or $then == null then null else $now - $then end)}) | add]"
)


def series_target(questions: Mapping[str, Question], *, jq: str = "") -> Json:
    """Return a target of several series over time, whose frame has a column for each by its key.

    `jq`: a program that changes the rows, a point in time each, before the columns are read.
    """
    program = f"{BY_TIME} | {jq}" if jq else BY_TIME
    columns = [TIME, *numbers(*questions)]
    return target(together(questions), columns, url="/query", is_series=True, jq=program)


def totals_target(questions: Mapping[str, Question]) -> Json:
    """Return a target of totals that are compared with those before.

    Its frame has a row, with columns by their keys, and by their keys and BEFORE and DIFFERENCE.
    """
    kinds = ("", BEFORE, DIFFERENCE)
    columns = numbers(*(name + kind for name in questions for kind in kinds))
    return target(together(questions), columns, url="/query", jq=SIDE_BY_SIDE)


def answer_of(panel: int) -> Json:
    """Return a target that shows what another panel of the dashboard, named by its id, asked."""
    return {"refId": "A", "datasource": DASHBOARD, "panelId": panel}


def inline(
    rows: Sequence[Mapping[str, object]], columns: Sequence[Column], ref: str, *, jq: str = ""
) -> Json:
    """Return a target that gives rows which stand in the dashboard itself.

    `jq`: a program that makes rows of them, before the columns are read.
    """
    return {
        "refId": ref,
        "datasource": SOURCE,
        "type": "json",
        "parser": "jq-backend" if jq else "backend",
        "source": "inline",
        "format": "table",
        "data": written(rows),
        "url": "",
        "url_options": {"method": "GET"},
        "root_selector": jq,
        "columns": [column.written() for column in columns],
    }
