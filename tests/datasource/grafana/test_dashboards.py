"""The dashboards as files: well formed, worded by the catalogue, answered by the server."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource import demo
from datasource.catalog import DIMS, Catalog
from datasource.grafana import build, check, write
from tests.conftest import Databases
from tests.datasource.protocol.client import Client, served

ROOT = Path(__file__).parents[3]
CATALOG = Catalog.read()
FILES = build(CATALOG)
BOARDS = {path: json.loads(text) for path, text in FILES.items() if path.endswith(".json")}
PROVISIONED = {path: yaml.safe_load(text) for path, text in FILES.items() if path.endswith(".yaml")}
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
MONTH = {"${__timeFrom}": "2027-01-30T00:00:00Z", "${__timeTo}": "2027-03-01T00:00:00Z"}
LISTS = {"nps_answers", "freshness", "range"}

each = pytest.mark.parametrize("path", BOARDS)


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all panels, those within closed rows too."""
    return [one for panel in board["panels"] for one in (panel, *panel.get("panels", []))]


def targets(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every question of a dashboard: of panels, variables and annotations."""
    found = [target for panel in panels(board) for target in panel.get("targets", [])]
    variables = [v["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    found += [query["infinityQuery"] for query in variables]
    found += [one["target"] for one in board["annotations"]["list"]]
    return [target for target in found if target["source"] == "url"]


def body(target: dict[str, Any], **chosen: str) -> dict[str, Any]:
    """Return a question as Grafana sends it, with all experiences and folders."""
    data = target["url_options"]["data"]
    variables = {"tenant:doublequote": '"vondelmarkt"', **chosen}
    for name in ("folder", "experience"):
        variables.setdefault(f"{name}:json", '["*"]')
    for name, value in variables.items():
        data = data.replace(f"${{{name}}}", value)
    for name, value in MONTH.items():
        data = data.replace(name, value)
    found = json.loads(data)
    assert isinstance(found, dict)
    return found


def asked(target: dict[str, Any]) -> list[str]:
    """Return the KPIs of a question."""
    question = body(target)
    return question.get("kpis") or [question[name] for name in ("kpi",) if name in question]


def test_files_are_up_to_date() -> None:
    assert check(ROOT) == [], "run chatkpi dashboards, and commit what it writes"


def test_write_mends_what_check_finds(tmp_path: Path) -> None:
    assert len(write(tmp_path)) == len(FILES)
    assert check(tmp_path) == []
    [first, *_] = sorted(BOARDS)
    (tmp_path / first).write_text("{}")
    (tmp_path / first).with_name("gone.json").write_text("{}")
    found = check(tmp_path)
    assert [path.name for path in found] == [Path(first).name, "gone.json"]
    assert write(tmp_path) == found
    assert check(tmp_path) == []


@each
def test_panels_have_ids_and_places_of_their_own(path: str) -> None:
    board = BOARDS[path]
    ids = [panel["id"] for panel in panels(board)]
    assert len(ids) == len(set(ids))
    for group in [board["panels"], *(panel.get("panels", []) for panel in board["panels"])]:
        taken: set[tuple[int, int]] = set()
        for panel in group:
            at = panel["gridPos"]
            cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
            assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
            taken |= cells


@each
def test_questions_name_what_there_is(path: str) -> None:
    for target in targets(BOARDS[path]):
        question = body(target)
        for kpi in asked(target):
            dims = {"tenant", *CATALOG.kpis[kpi].dims}
            assert {*question.get("by", []), *question["filters"]} <= dims, kpi
        if "list" in question:
            assert question["list"] in LISTS
        if "payload" in question:
            assert {question["payload"]["dim"], *question["payload"]["filters"]} <= set(DIMS)
        assert all(column["type"] for column in target["columns"])
        assert len({column["text"] for column in target["columns"]}) == len(target["columns"])


@each
def test_variables_are_defined(path: str) -> None:
    board = BOARDS[path]
    used = set(re.findall(r"\$\{(\w+)[:}]", json.dumps(board)))
    defined = {variable["name"] for variable in board["templating"]["list"]}
    built_in = {name for name in used if name.startswith("__")}
    assert used - built_in == defined
    assert built_in <= {"__timeFrom", "__timeTo", "__from", "__to", "__timezone"}


@each
def test_panels_are_worded_by_the_catalogue(path: str) -> None:
    board = BOARDS[path]
    language = board["tags"][1]
    assert path.startswith(f"dashboards_json/{language}/{board['tags'][2]}/")
    for panel in panels(board):
        if panel["type"] == "row":
            continue
        kpis = dict.fromkeys(kpi for target in panel["targets"] for kpi in asked_of(target))
        for kpi in kpis:
            assert CATALOG.kpis[kpi].words[language][1] in panel["description"], panel["title"]
        assert panel["description"]
        assert "No data" not in panel["fieldConfig"]["defaults"]["noValue"]
        if len(kpis) == 1 and panel["type"] in ("stat", "table"):
            assert panel["title"] == CATALOG.kpis[next(iter(kpis))].words[language][0]


def asked_of(target: dict[str, Any]) -> list[str]:
    """Return the KPIs of a panel's target, none of an inline one."""
    return asked(target) if target["source"] == "url" else []


@each
def test_frame(path: str) -> None:
    board = BOARDS[path]
    assert board["schemaVersion"] == 42 and board["editable"] is False and len(board["uid"]) <= 40
    assert board["time"] in [
        {"from": one["from"], "to": one["to"]} for one in board["timepicker"]["quick_ranges"]
    ]
    for link in board["links"]:
        assert link["includeVars"] and (link["keepTime"] or "from=${first}" in link["url"])
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    for name in ("folder", "experience"):
        assert variables[name]["multi"] and variables[name]["allValue"] == '["*"]'


def test_languages_differ_in_words_only() -> None:
    def bare(board: dict[str, Any]) -> list[object]:
        return [
            (panel["type"], panel["id"], panel["gridPos"], panel.get("targets"), panel["options"])
            if panel["type"] != "row"
            else (panel["id"], panel["gridPos"], panel["collapsed"])
            for panel in panels(board)
        ]

    english = {path: board for path, board in BOARDS.items() if "/en/" in path}
    assert len(english) * 2 == len(BOARDS)
    for path, board in english.items():
        dutch = BOARDS[path.replace("/en/", "/nl/")]
        assert bare(board) == bare(dutch)
        assert board["title"] != dutch["title"] and board["uid"] != dutch["uid"]
        assert [v["name"] for v in board["templating"]["list"]] == [
            v["name"] for v in dutch["templating"]["list"]
        ]


def test_provisioning_finds_the_dashboards() -> None:
    providers = PROVISIONED["provisioning/dashboards/chatkpi.yaml"]["providers"]
    folders = {one["options"]["path"].split("/", 1)[1] for one in providers}
    assert folders == {path.split("/", 1)[1].rsplit("/", 1)[0] for path in BOARDS}
    assert len({one["folderUid"] for one in providers}) == len(providers)
    assert not any(one["allowUiUpdates"] for one in providers)


def test_data_source_keeps_its_token() -> None:
    sources = PROVISIONED["provisioning/datasources/chatkpi.yaml"]["datasources"]
    [infinity] = [one for one in sources if one["type"].endswith("infinity-datasource")]
    settings = infinity["jsonData"]
    assert settings["allowedHosts"] == [f"{infinity['url']}/"]
    assert settings["customHealthCheckEnabled"]
    assert settings["customHealthCheckUrl"].startswith(infinity["url"])
    assert settings["httpHeaderName1"] == "Authorization"
    assert not any(one["editable"] for one in sources)


@pytest.fixture(scope="module")
def server(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Serve a small demo."""
    records = map(json.loads, demo.lines(events=20_000, days=80, until=NOW))
    with pytest.MonkeyPatch.context() as patch:
        now = NOW.isoformat()
        yield served(database, records, tmp_path_factory.mktemp("demo"), patch, now=now)


@each
def test_server_answers_every_question(server: Client, path: str) -> None:
    empty = set()
    for target in targets(BOARDS[path]):
        answer = server.post(target["url"], body(target))
        assert answer.status_code == 200, (target["refId"], answer.text)
        selected = {column["selector"] for column in target["columns"]}
        assert all(selected <= row.keys() for row in answer.json), target
        if not answer.json:
            empty.add(target["refId"])
    assert empty == {"Anno"}, "in its default range only the year change may be empty"


@each
def test_a_selection_without_anything_is_answered(server: Client, path: str) -> None:
    for target in targets(BOARDS[path]):
        answer = server.post(target["url"], body(target, **{"experience:json": '["nothing"]'}))
        assert answer.status_code == 200, (target["refId"], answer.text)


@each
def test_the_learn_link_is_the_page_of_the_chosen_tenant(server: Client, path: str) -> None:
    [url] = [link["url"] for link in BOARDS[path]["links"] if link.get("targetBlank")]
    url = url.removeprefix("/api/datasources/proxy/uid/${datasource}")
    for tenant in ("waterland", "kaveri"):
        headers = server.headers | {"Accept": "text/html"}
        page = server.get(url.replace("${tenant:percentencode}", tenant), headers=headers)
        assert page.status_code == 200 and f'value="{tenant}" selected' in page.text


@each
def test_downloads_are_answered(server: Client, path: str) -> None:
    links = [link for panel in panels(BOARDS[path]) for link in panel.get("links", [])]
    for url in {
        link["url"].removeprefix("/api/datasources/proxy/uid/${datasource}") for link in links
    }:
        url = url.replace("${__from}", "1801267200000").replace("${__to}", "1803859199999")
        url = url.replace("${__timezone}", "UTC").replace("${tenant:percentencode}", "vondelmarkt")
        url = re.sub(r"\$\{\w+:percentencode\}", "%5B%22*%22%5D", url)
        answer = server.get(url)
        assert answer.status_code == 200, (url, answer.text)
        assert answer.mimetype == "text/csv" and answer.text.count("\n") > 1, url
