"""What `chatkpi check --grafana URL` looks at, through Grafana's own paths."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException

from datasource.catalog import Catalog
from datasource.grafana import alerts, build
from datasource.grafana.opened import asked, variables
from datasource.grafana.question import PLUGIN, PLUGIN_VERSION, Json

SOURCE, SQL_SOURCE = "chatkpi", "chatkpi-sql"
FIRST_GRAFANA = 12
REAL = {"datasource": {"type": PLUGIN, "uid": SOURCE}}  # in place of the variable
SPAN = {"from": "now-30d", "to": "now"}
FAILURES = (GrafanaException, OSError)
REPROVISION = (
    "give Grafana the folders provisioning and dashboards_json of this version, and restart it"
)


@dataclass(frozen=True)
class Finding:
    """What became of one thing that was looked at: what is wrong, and what mends it."""

    name: str
    wrong: list[str]
    remedy: str


@dataclass
class Grafana:
    """A running Grafana; what was asked of it is asked once."""

    api: GrafanaApi
    found: dict[str, Any] = field(default_factory=dict)  # what paths gave
    answers: dict[str, Json] = field(default_factory=dict)  # to queries

    def get(self, path: str) -> Any:
        """Return the answer of a path. Raises one of FAILURES."""
        if path not in self.found:
            self.found[path] = self.api.client.GET(path)
        return self.found[path]

    def asked(self, queries: list[Json]) -> tuple[dict[str, Any], list[str]]:
        """Return the results of queries by their refId, and what is wrong with them."""
        key = json.dumps(queries, sort_keys=True)
        if key not in self.answers:
            try:
                answer = self.api.client.POST("/ds/query", json={"queries": queries, **SPAN})
            except GrafanaClientError as error:
                answer = error.response if isinstance(error.response, dict) else {}
                answer = answer if answer.get("results") else {"error": words(error)}
            self.answers[key] = answer
        answer = self.answers[key]
        results = answer.get("results", {})
        wrong = [" ".join(str(one["error"]).split()) for one in results.values() if "error" in one]
        if "error" in answer:
            wrong.append(str(answer["error"]))
        return results, wrong


def words(error: Exception) -> str:
    """Return an error in one line, in Grafana's own words where it has some."""
    answer = getattr(error, "response", None)
    told = answer.get("message") if isinstance(answer, dict) else None
    return " ".join(str(told or error).split())


def findings(address: str) -> Iterator[Finding]:
    """Look a Grafana over; give what was found of each thing, until one makes the rest vain."""
    token = os.environ.get("CHATKPI_GRAFANA_TOKEN")
    found = Grafana(GrafanaApi.from_url(address, token, timeout=60))
    remedy = "start it, and give its address with user:password, or a token"
    try:
        version = str(found.get("/health")["version"])
        found.get("/org")
    except FAILURES as error:
        yield Finding("Grafana answers", [words(error)], remedy)
        return
    old = int(version.partition(".")[0]) < FIRST_GRAFANA
    wrong = [f"it is {version}"] if old else []
    yield Finding("Grafana's version", wrong, f"it has to be {FIRST_GRAFANA} or newer")
    plugin = Finding("Grafana's plugin", _plugin(found), _install())
    yield plugin
    if plugin.wrong:
        return
    sources = _sources(found)
    yield from sources
    boards = {
        one["uid"]: one
        for path, text in build(Catalog.read()).items()
        if path.endswith(".json")
        for one in [json.loads(text)]
    }
    yield Finding("Grafana's dashboards", _dashboards(found, boards), REPROVISION)
    yield Finding("Grafana's alert rules", _rules(found), REPROVISION)
    if sources[0].wrong:
        return
    mend = "ask it of the server by `curl`, whose message says more; look at the server's log"
    yield Finding("every panel's query answers", _panels(found, boards), mend)
    yield Finding("every alert rule evaluates", _evaluations(found), mend)


def _install() -> str:
    """Return how the plugin is installed."""
    return f"run grafana cli plugins install {PLUGIN} {PLUGIN_VERSION}, and restart Grafana"


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, to compare it by."""
    parts = version.partition("-")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def _plugin(found: Grafana) -> list[str]:
    try:
        version = str(found.get(f"/plugins/{PLUGIN}/settings")["info"]["version"])
    except GrafanaClientError:
        return [f"{PLUGIN} is not installed"]
    fits = numbers(version)[0] == numbers(PLUGIN_VERSION)[0]
    if fits and numbers(version) >= numbers(PLUGIN_VERSION):
        return []
    return [f"{PLUGIN} is {version}; the dashboards are made for {PLUGIN_VERSION}"]


def _sources(found: Grafana) -> list[Finding]:
    """Return what became of the data source for dashboards, and of the one for SQL."""
    checks: dict[str, str] = {
        SOURCE: "set CHATKPI_URL and CHATKPI_TOKEN (chatkpi token create) in Grafana's environment",
        SQL_SOURCE: "set CHATKPI_PG_HOST and CHATKPI_PG_PASSWORD in Grafana's environment",
    }
    made = []
    for uid, remedy in checks.items():
        name, wrong = f"Grafana's data source {uid}", list[str]()
        try:
            answer = found.get(f"/datasources/uid/{uid}/health")
            if answer.get("status") != "OK":
                wrong = [str(answer.get("message") or answer)]
        except FAILURES as error:
            wrong = [words(error)]
        made.append(Finding(name, wrong, f"{remedy}, and restart Grafana"))
    return made


def _dashboards(found: Grafana, boards: dict[str, Json]) -> list[str]:
    """Return which dashboards are missing, other than they are made, or of another version."""
    wrong = []
    for uid, board in boards.items():
        try:
            there = found.get(f"/dashboards/uid/{uid}")["dashboard"]
        except GrafanaClientError:
            wrong.append(f"{uid} is missing")
            continue
        other = [key for key, value in board.items() if there.get(key) != value]
        if other:
            wrong.append(f"{uid} is not as made: {', '.join(other)}")
    known = found.get("/search?type=dash-db&tag=chatkpi&limit=5000")
    strangers = {one["uid"] for one in known if one["uid"].startswith("chatkpi-")} - boards.keys()
    return wrong + [f"{uid} is of another version" for uid in sorted(strangers)]


def _rules(found: Grafana) -> list[str]:
    """Return which alert rules are missing, changed, or left over."""
    wanted = {one.uid: one.rule for one in alerts.made(alerts.read(Catalog.read()))}
    there = {one["uid"]: one for one in found.get("/v1/provisioning/alert-rules")}
    wrong = [f"{uid} is missing" for uid in wanted.keys() - there.keys()]
    for uid, rule in wanted.items():
        expressions = [
            query["model"].get("expression") for query in there.get(uid, {}).get("data", [])
        ]
        if uid in there and rule.condition() not in expressions:
            wrong.append(f"{uid} has another condition")
        if uid in there and there[uid].get("isPaused"):
            wrong.append(f"{uid} is paused")
    ghosts = [uid for uid in there.keys() - wanted.keys() if uid.startswith("chatkpi-")]
    return sorted(wrong) + [f"{uid} is of another version" for uid in sorted(ghosts)]


def _panels(found: Grafana, boards: dict[str, Json]) -> list[str]:
    """Return which panels' queries fail. Languages differ in words only: one is asked."""
    wrong = []
    for uid, board in boards.items():
        if "en" not in board["tags"]:
            continue
        values = variables(board, _options(found))
        for title, target in asked(board, values):
            _, errors = found.asked([target | REAL])
            wrong += [f"{uid}, {title}: {error}" for error in errors]
    return wrong


def _options(found: Grafana) -> Callable[[Json], list[str]]:
    """Return what gives the values that a variable's query offers."""

    def options(target: Json) -> list[str]:
        results, _ = found.asked([target | REAL])
        for result in results.values():
            for frame in result.get("frames", []):
                names = [one["name"] for one in frame["schema"]["fields"]]
                columns = dict(zip(names, frame["data"]["values"], strict=False))
                texts: list[Any] = columns.get("__value") or next(iter(columns.values()), [])
                return [str(text) for text in texts]
        return []

    return options


def _evaluations(found: Grafana) -> list[str]:
    """Return which alert rules cannot be evaluated now."""
    wrong = []
    for rule in found.get("/v1/provisioning/alert-rules"):
        if not rule["uid"].startswith("chatkpi-"):
            continue
        queries = [
            query["model"]
            | {"refId": query["refId"], "datasource": {"uid": query["datasourceUid"]}}
            for query in rule["data"]
        ]
        _, errors = found.asked(queries)
        wrong += [f"{rule['uid']}: {error}" for error in dict.fromkeys(errors)]
    return wrong
