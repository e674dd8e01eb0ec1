"""Each alert rule fires and ends on data made for it: its questions asked of the server, its
condition worked out here as Grafana's math does; `test_alerts_in_grafana.py` asks Grafana.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource import grafana
from datasource.catalog import Catalog
from datasource.grafana import alerts, build, panel_id, read, runbooks
from datasource.grafana.strict import SpecError
from datasource.grafana.words import toml
from datasource.store.refresh import refresh
from tests.conftest import Databases
from tests.datasource.grafana import alarms
from tests.datasource.grafana.alarms import EXPECTED, NOW, Json
from tests.datasource.protocol.client import Client, served

TOP = Path(__file__).parents[3]
FILES = build(Catalog.read())
FILE = yaml.safe_load(FILES[alerts.RULES])
RULES: dict[str, Json] = {rule["uid"]: rule for group in FILE["groups"] for rule in group["rules"]}
NAMES = [*alerts.alerts().rules]
Group = tuple[str, ...]


def rule_of(name: str) -> Json:
    return RULES[f"chatkpi-{name.replace('_', '-')}"]


def numbers(client: Client, query: Json, **more: Any) -> dict[Group, float]:
    """Return the number of each group that a query of a rule gives, as Grafana reads it."""
    model = query["model"]
    selectors = {column["text"]: column["selector"] for column in model["columns"]}
    labels = [column["text"] for column in model["columns"] if column["type"] == "string"]
    rows = client.rows(json.loads(model["url_options"]["data"]), **more)
    assert all(selectors["value"] in row for row in rows)
    return {
        tuple(row[selectors[label]] for label in labels): row[selectors["value"]]
        for row in rows
        if row[selectors["value"]] is not None
    }


def firing(client: Client, rule: Json, **more: Any) -> set[str]:
    """Return the tenants for which a rule's condition holds; an empty text for no tenant."""
    *queries, condition = rule["data"]
    found = {query["refId"]: numbers(client, query, **more) for query in queries}
    groups = set.intersection(*(set(of_query) for of_query in found.values()))
    words = re.sub(r"\$\{(\w+)\}", r"\1", condition["model"]["expression"]).replace("&&", "and")
    return {
        group[0] if group else ""
        for group in groups
        if eval(words, {"abs": abs}, {name: found[name][group] for name in found})
    }


def at(client: Client, patch: pytest.MonkeyPatch, now: datetime) -> Client:
    """Return a server of the same database at another time."""
    patch.setenv("CHATKPI_NOW", now.isoformat())
    return Client(client.url, client.connection)


@pytest.fixture(scope="module")
def client(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        found = served(database, alarms.first(), folder, patch, now=NOW.isoformat())
        alarms.held_back(found.connection, folder, [{"type": "folder", "tenant": "bad", "id": "f"}])
        yield found


def test_every_rule_has_data_by_which_it_fires() -> None:
    assert [*EXPECTED] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_fires_for_the_tenant_in_trouble_only(client: Client, name: str) -> None:
    """Not on too small a sample, not for one that was helped, nor one that is gone or new."""
    assert firing(client, rule_of(name)) == EXPECTED[name]


def test_tells_a_token_of_another_tenant_nothing(client: Client) -> None:
    headers = client.token(["good"])
    for name in NAMES:
        if EXPECTED[name] != {""}:
            assert firing(client, rule_of(name), headers=headers) == set(), name


@pytest.mark.parametrize("name", NAMES)
def test_ends_when_the_trouble_does(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    client = mended(database, tmp_path, monkeypatch)
    assert firing(client, rule_of(name)) == set()


MENDED: list[Client] = []


def mended(database: Databases, folder: Path, patch: pytest.MonkeyPatch) -> Client:
    """Return a server of the same data after the remedy, made once."""
    if not MENDED:
        found = served(database, alarms.first(), folder, patch, now=NOW.isoformat())
        alarms.held_back(found.connection, folder, alarms.later())
        refresh(found.connection, Catalog.read())
        alarms.age_loads(found.connection, 0)
        MENDED.append(found)
    return MENDED[0]


def test_an_hour_counts_when_it_is_over(
    database: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the minute before a full hour, and from the full hour on."""
    began = NOW.replace(minute=10)
    bot: Json = {"from": "bot", "experience": "x"}
    events = [*alarms.events("t", "message", began, 40, **bot)]
    client = served(database, events, tmp_path, monkeypatch, now=NOW.isoformat())
    rule = rule_of("bounce_rate_high")
    assert firing(at(client, monkeypatch, began.replace(minute=59)), rule) == set()
    full = began.replace(minute=0) + timedelta(hours=1)
    assert firing(at(client, monkeypatch, full), rule) == {"t"}


def test_no_sessions_at_night_and_on_sunday_are_usual(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the tenant's own clock: two hours that lie within 9 to 18 o'clock, Monday to Friday."""
    rule, fires = rule_of("no_sessions"), []
    *_, condition = rule["data"]
    for days in range(7):
        for hour in range(24):
            local = datetime(2027, 3, 15 + days, hour, 30, tzinfo=UTC)  # a Monday
            numbers = {"value": 0, "usual": 9, "hour": hour, "weekday": local.isoweekday()}
            words = re.sub(r"\$\{(\w+)\}", r"\1", condition["model"]["expression"])
            if eval(words.replace("&&", "and"), {}, numbers):
                fires.append((days, hour))
    assert fires == [(days, hour) for days in range(5) for hour in range(11, 19)]
    [row] = at(client, monkeypatch, datetime(2027, 3, 17, 23, 50, tzinfo=UTC)).rows(
        {"list": "tenants", "filters": {"tenant": "new"}}
    )
    assert (row["hour"], row["weekday"], row["month_elapsed"]) == (5, 4, 0.5484)  # 17 of 31 days


def test_the_first_of_a_month_is_about_the_month_before(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = at(client, monkeypatch, datetime(2027, 4, 1, 1, tzinfo=UTC))
    assert {row["month_elapsed"] for row in first.rows({"list": "tenants"})} == {1}
    assert firing(first, rule_of("mecs_behind")) == {"bad"}


def test_what_stands_in_rows_of_lists_is_not_kept(client: Client, tmp_path: Path) -> None:
    """The answers change with the clock."""
    for _ in range(2):
        [row] = client.rows({"list": "installation"})
        assert row["minutes_behind"] > 72 * 60 - 1
    alarms.age_loads(client.connection, 1)
    [row] = client.rows({"list": "installation"})
    alarms.age_loads(client.connection, 72)
    assert row["minutes_behind"] < 72


@pytest.mark.parametrize("name", NAMES)
def test_grafana_can_evaluate_it(name: str) -> None:
    rule = rule_of(name)
    assert rule["condition"] == rule["data"][-1]["refId"]
    assert rule["noDataState"] in ("OK", "Alerting") and rule["execErrState"] == "Error"
    for query in rule["data"][:-1]:
        model = query["model"]
        kinds = [column["type"] for column in model["columns"]]
        assert model["parser"] == "backend" and kinds.count("number") == 1
        assert set(kinds) <= {"number", "string"}, "a column of times makes series of it"
        assert "${" not in model["url_options"]["data"], "nothing that only panels fill in"
        asked = json.loads(model["url_options"]["data"])
        assert "from" not in asked and ("last" in asked or "list" in asked)


@pytest.mark.parametrize("name", NAMES)
def test_ratios_need_a_smallest_sample(name: str) -> None:
    rule = alerts.alerts().rules[name]
    units = {
        Catalog.read().kpis[number.kpi].unit
        for number in rule.numbers.values()
        if isinstance(number, alerts.OfKpi)
    }
    assert units <= {"none"} or rule.smallest_sample


@pytest.mark.parametrize("name", NAMES)
def test_points_to_its_panel_and_runbook(name: str) -> None:
    rule, told = rule_of(name), alerts.alerts().rules[name]
    boards = [json.loads(text) for path, text in FILES.items() if path.endswith(".json")]
    [board] = [one for one in boards if one["uid"] == rule["dashboardUid"]]
    panels = [panel for one in board["panels"] for panel in (one, *one.get("panels", []))]
    assert rule["panelId"] == panel_id(told.panel.board, told.panel.key)
    [panel] = [one for one in panels if one["id"] == rule["panelId"]]
    url = rule["annotations"]["runbook_url"]
    assert url.endswith(f"/runbooks/{name}")
    advice = runbooks.advice_of(TOP / runbooks.FOLDER / f"{name}.md")
    assert "## What to do" in advice and len(advice) > 300 and "Nobody has written" not in advice


@pytest.mark.parametrize("name", NAMES)
def test_says_its_summary_in_both_languages(name: str) -> None:
    notes = rule_of(name)["annotations"]
    assert notes["summary"] != notes["summary_nl"] and notes["title_nl"]
    for text in (notes["summary"], notes["summary_nl"]):
        assert re.findall(r"(?<!\{)\{(?![{])\w+\}", text) == [], "a number that there is not"


def test_the_server_shows_runbooks_and_nothing_else_of_their_folder(client: Client) -> None:
    answer = client.http.get("/runbooks/nps_low")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    assert answer.text == (TOP / runbooks.FOLDER / "nps_low.md").read_text(encoding="utf-8")
    for name in ("nope", "..%2Frules", "nps_low.md"):
        assert client.http.get(f"/runbooks/{name}").status_code == 404


def test_a_tenant_has_limits_of_its_own(client: Client) -> None:
    told: Any = toml(alerts.FILE)
    own = {"threshold": 100, "smallest_sample": 1}
    told["rules"]["bounce_rate_high"]["tenants"] = {"bad": own, "a.*": {"smallest_sample": 2}}
    file = yaml.safe_load(alerts.build(read(Catalog.read()), alerts.read(Catalog.read(), told)))
    rules = [rule for group in file["groups"] for rule in group["rules"]]
    of_all, of_bad, of_other = [one for one in rules if "bounce-rate" in one["uid"]]
    assert all(len(rule["uid"]) <= 40 for rule in rules)
    assert firing(client, of_all) == firing(client, of_bad) == firing(client, of_other) == set()
    own["threshold"] = 99
    file = yaml.safe_load(alerts.build(read(Catalog.read()), alerts.read(Catalog.read(), told)))
    rules = [rule for group in file["groups"] for rule in group["rules"]]
    assert firing(client, next(one for one in rules if one["uid"] == of_bad["uid"])) == {"bad"}
    # A token that may not see the tenant gets no error for it.
    assert firing(client, of_bad, headers=client.token(["good"])) == set()


def test_a_runbook_names_no_tenant() -> None:
    """It is shown without a token."""
    told: Any = toml(alerts.FILE)
    told["rules"]["nps_low"]["tenants"] = {"acme": {"threshold": 10}}
    page = runbooks.head("nps_low", alerts.read(Catalog.read(), told).rules["nps_low"])
    assert "acme" not in page and "of 1 tenants" in page


def test_the_recipe_for_an_alert_makes_one() -> None:
    recipes = (TOP / "docs" / "recipes.md").read_text(encoding="utf-8")
    section = recipes.partition("\n## An alert\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"```toml\n(.*?)```", section, re.S)
    told: Any = toml(alerts.FILE)
    told["rules"] |= tomllib.loads(block)["rules"]
    found = alerts.read(Catalog.read(), told)
    [name] = found.rules.keys() - alerts.alerts().rules.keys()
    assert f'uid: "chatkpi-{name.replace("_", "-")}"' in alerts.build(read(Catalog.read()), found)
    assert "what is usual of `leads`" in runbooks.head(name, found.rules[name])


def test_a_rule_that_goes_leaves_no_ghost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grafana.write(tmp_path)
    assert grafana.check(tmp_path) == []
    told: Any = toml(alerts.FILE)
    del told["rules"]["nps_low"]
    monkeypatch.setattr(alerts, "toml", lambda name: told)
    with pytest.raises(SpecError, match="removed: name chatkpi-nps-low"):
        grafana.check(tmp_path)
    told["removed"].append("chatkpi-nps-low")
    grafana.write(tmp_path)
    file = yaml.safe_load((tmp_path / alerts.RULES).read_text(encoding="utf-8"))
    assert {"orgId": 1, "uid": "chatkpi-nps-low"} in file["deleteRules"]
    assert not (tmp_path / runbooks.FOLDER / "nps_low.md").exists()
    told["removed"].append("chatkpi-data-stale")
    with pytest.raises(SpecError, match="chatkpi-data-stale is there"):
        grafana.check(tmp_path)


def test_generating_keeps_the_advice(tmp_path: Path) -> None:
    grafana.write(tmp_path)
    page = tmp_path / runbooks.FOLDER / "nps_low.md"
    head, mark, _ = page.read_text(encoding="utf-8").partition(runbooks.MARK)
    page.write_text(f"{head.replace('NPS low', 'Other')}{mark}\n\n## What to do\n\nCall Ann.\n")
    assert grafana.write(tmp_path) == [page]
    assert page.read_text(encoding="utf-8") == f"{head}{mark}\n\n## What to do\n\nCall Ann.\n"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "fires_when",
            "${value} > threshold && ${sample} > 1",
            "`smallest_sample` if there is one",
        ),
        ("fires_when", "${value} > threshold && smallest_sample", "each of `numbers`"),
        ("fires_when", "${value} > 1 && ${sample} >= smallest_sample", "uses `threshold`"),
        ("panel", {"board": "start", "key": "x"}, "the dashboard start has no panel 'x'"),
        ("severity", "bad", "unknown value 'bad'"),
        ("limit", 1, "unknown key 'limit'"),
    ],
)
def test_a_mistake_is_told(key: str, value: object, words: str) -> None:
    told: Any = toml(alerts.FILE)
    told["rules"]["bounce_rate_high"][key] = value
    with pytest.raises(SpecError, match=re.escape(words)):
        alerts.build(read(Catalog.read()), alerts.read(Catalog.read(), told))
