"""The dashboards as files: well formed, worded by the catalogue, with links that lead somewhere."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jq
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from datasource.catalog import DIMS
from datasource.grafana import check, write
from datasource.grafana.alerts import alerts
from datasource.grafana.looks import palette, tint
from datasource.grafana.opened import in_text
from datasource.grafana.words import shared_texts
from tests.datasource.grafana.boards import (
    BOARDS,
    BY_UID,
    CATALOG,
    FILES,
    body,
    brought,
    defaults,
    kpis_shown,
    panels,
    queries,
    shown,
    single,
    targets,
)

ROOT = Path(__file__).parents[3]
PROVISIONED = {path: yaml.safe_load(text) for path, text in FILES.items() if path.endswith(".yaml")}
BUILT_IN = {"__timeFrom", "__timeTo", "__from", "__to", "__timezone", "__url_time_range"}

each = pytest.mark.parametrize("path", BOARDS)


def strings(value: Any) -> list[str]:
    """Return all texts in a JSON value."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


def test_files_are_up_to_date() -> None:
    assert check(ROOT) == [], "run chatkpi dashboards, and commit what it writes"


def test_write_mends_what_check_finds(tmp_path: Path) -> None:
    assert len(write(tmp_path)) == len(FILES) + len(alerts().rules)
    assert check(tmp_path) == []
    [first, *_] = sorted(BOARDS)
    (tmp_path / first).write_text("{}")
    (tmp_path / first).with_name("gone.json").write_text("{}")
    found = check(tmp_path)
    assert {path.name for path in found} == {Path(first).name, "gone.json"}
    assert write(tmp_path) == found
    assert check(tmp_path) == []


def test_every_documented_dashboard_is_there_in_both_languages() -> None:
    assert len(BY_UID) == len(BOARDS) == 2 * 21


@each
def test_panels_have_ids_and_places_of_their_own(path: str) -> None:
    board = BOARDS[path]
    ids = [panel["id"] for panel in panels(board)]
    assert len(ids) == len(set(ids)) and all(0 < one < 1 << 31 for one in ids)
    for group in [board["panels"], *(panel.get("panels", []) for panel in board["panels"])]:
        taken: set[tuple[int, int]] = set()
        for panel in group:
            at = panel["gridPos"]
            cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
            assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
            taken |= cells


@each
def test_questions_name_what_there_is(path: str) -> None:
    board = BOARDS[path]
    values: dict[str, Any] = {"experience": ["x"], "module": "x"} | defaults(board)
    values |= {"shown": "module_visits", "bot_metrics": "bot_messages"}
    for target in targets(board):
        for question in single(body(target, values)):
            narrowed = question.get("filters", {}).keys() - brought(board)
            kpis = question.get("kpis") or [question.get("kpi")]
            for kpi in CATALOG.kpis.keys() & {*kpis}:
                dims = {"tenant", *CATALOG.kpis[kpi].dims}
                assert {*question.get("by", []), *narrowed} <= dims, kpi
        assert all(column["type"] for column in target["columns"])
        assert len({column["text"] for column in target["columns"]}) == len(target["columns"])


@each
def test_variables_are_defined(path: str) -> None:
    board = BOARDS[path]
    used = {name for text in strings(board) for name, _ in in_text.findall(text)}
    defined = {variable["name"] for variable in board["templating"]["list"]}
    assert {name for name in used if not name.startswith("__")} <= defined
    data = {"__data", "__field"}  # of a cell or a series, with a dot: no match of in_text
    assert {name for name in used if name.startswith("__")} <= BUILT_IN | data


def test_a_variable_of_metrics_has_the_same_ones_on_every_dashboard() -> None:
    """Links take it along, and Grafana keeps a value that is not among the options."""
    found: dict[tuple[str, str], set[str]] = {}
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "custom":
                key = (board["tags"][1], variable["name"])
                found.setdefault(key, set()).add(variable["query"])
    assert {key: len(queries) for key, queries in found.items() if len(queries) > 1} == {}


@each
def test_grafana_puts_nothing_into_a_jq_program_that_is_its_own(path: str) -> None:
    """Grafana reads `$name` and `[[name]]` as its variables too."""
    board = BOARDS[path]
    names = {variable["name"] for variable in board["templating"]["list"]}
    for target in targets(board):
        program = target["root_selector"]
        assert not names & set(re.findall(r"\$(\w+)", program)) and "[[" not in program


@each
def test_links_lead_to_dashboards_and_set_variables_of_theirs(path: str) -> None:
    links = [text for text in strings(BOARDS[path]) if text.startswith("/d/")]
    contents = [panel["options"].get("content", "") for panel in shown(BOARDS[path])]
    links += [url for content in contents for url in re.findall(r"\]\((/d/[^)]*)\)", content)]
    assert links
    for url in links:
        parts = urlsplit(url)
        board = BY_UID[parts.path.removeprefix("/d/")]
        defined = {variable["name"] for variable in board["templating"]["list"]}
        given = {name.removeprefix("var-") for name in parse_qs(parts.query) if "var-" in name}
        assert given <= defined, (url, given - defined)


@each
def test_links_keep_the_range_and_the_tenant(path: str) -> None:
    board = BOARDS[path]
    for link in board["links"]:
        assert link["includeVars"] and (link["keepTime"] or "from=${first}" in link["url"])
    inner = [link for panel in shown(board) for link in [*panel["links"], *cell_links(panel)]]
    for link in inner:
        if link["url"].startswith("/d/"):
            assert "${__url_time_range}" in link["url"] and "tenant" in link["url"]


def cell_links(panel: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the links of a panel's cells."""
    return [
        link
        for override in panel["fieldConfig"]["overrides"]
        for one in override["properties"]
        if one["id"] == "links"
        for link in one["value"]
    ]


@each
def test_every_panel_that_asks_for_a_kpi_leads_behind_its_number_and_to_a_file(path: str) -> None:
    board = BOARDS[path]
    if "behind" in board["uid"]:
        return
    for panel in shown(board):
        urls = [link["url"] for link in panel["links"]]
        for kpi in kpis_shown(panel):
            assert any("behind-the-number" in url and f"var-kpi={kpi}" in url for url in urls), kpi
            assert any(f"/export/{kpi}.csv" in url for url in urls), kpi
        for url in urls:
            if "/export/" in url:
                assert "bom=1" in url


@each
def test_panels_are_worded_by_the_catalogue(path: str) -> None:
    board = BOARDS[path]
    language = board["tags"][1]
    assert path.startswith(f"dashboards_json/{language}/{board['tags'][2]}/")
    for panel in shown(board):
        assert panel["description"].strip(), panel["title"]
        if panel["type"] == "text":
            continue
        for kpi in kpis_shown(panel):
            assert CATALOG.kpis[kpi].words[language][1] in panel["description"]
        assert "No data" not in panel["fieldConfig"]["defaults"]["noValue"]


@each
def test_frame(path: str) -> None:
    board = BOARDS[path]
    assert board["schemaVersion"] == 42 and board["editable"] is False and len(board["uid"]) <= 40
    assert board["time"] in [
        {"from": one["from"], "to": one["to"]} for one in board["timepicker"]["quick_ranges"]
    ]
    assert any(panel["id"] for panel in shown(board) if "freshness" in json.dumps(panel["targets"]))
    titles = [link["title"] for link in board["links"]]
    assert {"English", "Nederlands"} & set(titles) and {"Learn", "Uitleg"} & set(titles)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    for variable in variables.values():
        if variable.get("includeAll") and variable["name"] in DIMS:
            assert variable["multi"] and variable["allValue"] == '["*"]'
    [annotation] = board["annotations"]["list"]
    assert annotation["enable"] and annotation["target"]["url"] == "/annotations"


def test_languages_differ_in_words_only() -> None:
    def bare(board: dict[str, Any]) -> list[object]:
        return [
            (
                panel["type"],
                panel["id"],
                panel["gridPos"],
                len(panel["links"]),
                len(panel["targets"]),
            )
            if panel["type"] != "row"
            else (panel["id"], panel["gridPos"], panel["collapsed"])
            for panel in panels(board)
        ]

    def asked(board: dict[str, Any]) -> list[str]:
        return [t["url_options"]["data"] for t in targets(board) if t.get("source") == "url"]

    english = {path: board for path, board in BOARDS.items() if "/en/" in path}
    assert len(english) * 2 == len(BOARDS)
    for path, board in english.items():
        dutch = BOARDS[path.replace("/en/", "/nl/")]
        assert bare(board) == bare(dutch) and asked(board) == asked(dutch)
        assert board["description"] != dutch["description"] and board["uid"] != dutch["uid"]
        assert [v["name"] for v in board["templating"]["list"]] == [
            v["name"] for v in dutch["templating"]["list"]
        ]


@each
def test_grafanas_own_models_read_the_dashboard(path: str) -> None:
    """Nothing that is written is lost on the way through the models, but what they lack."""
    board = BOARDS[path]
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))
    for name in ("uid", "title", "schemaVersion", "time", "tags"):
        assert again[name] == board[name]
    read = {panel["id"]: panel for panel in panels(again)}
    for panel in panels(board):
        for name in ("type", "title", "description", "gridPos", "targets", "transformations"):
            assert read[panel["id"]].get(name) == panel.get(name), (name, panel["title"])
        if panel["type"] != "row":
            assert kept(panel["fieldConfig"], read[panel["id"]]["fieldConfig"]), panel["title"]


def kept(written: Any, read: Any) -> bool:
    """Return whether all of a JSON value is there, null being the same as left out."""
    if isinstance(written, dict):
        return isinstance(read, dict) and all(
            kept(value, read.get(name)) for name, value in written.items()
        )
    if isinstance(written, list):
        return (
            isinstance(read, list) and len(read) == len(written) and all(map(kept, written, read))
        )
    return bool(written == read)


def test_provisioning_finds_the_dashboards() -> None:
    providers = PROVISIONED["provisioning/dashboards/chatkpi.yaml"]["providers"]
    folders = {one["options"]["path"].split("/", 1)[1] for one in providers}
    assert folders == {path.split("/", 1)[1].rsplit("/", 1)[0] for path in BOARDS}
    assert len({one["folderUid"] for one in providers}) == len(providers)
    assert len({one["folder"] for one in providers}) == len(providers)
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


def test_bars_start_at_zero() -> None:
    """Else the smallest has no length, and 10 beside 20 looks like a twentieth."""
    bars = [panel for board in BOARDS.values() for panel in shown(board)]
    for panel in [one for one in bars if one["type"] == "bargauge"]:
        config = panel["fieldConfig"]
        found = [one for over in config["overrides"] for one in over["properties"]]
        assert config["defaults"].get("min") == 0 or {"id": "min", "value": 0} in found


@pytest.mark.parametrize("words", ["unknown", "no_answer"])
def test_what_is_shown_without_an_answer_claims_nothing(words: str) -> None:
    """Grafana then takes the properties of all fields: no tint of a KPI, nothing green."""
    text = shared_texts()[words]
    colours = {
        "unknown": tint(palette().tints["other"]["base"]),
        "no_answer": palette().bands["no_answer"]["base"],
    }
    found = [
        panel["fieldConfig"]["defaults"]
        for board in BOARDS.values()
        for panel in shown(board)
        if panel["fieldConfig"]["defaults"].get("noValue") in (text.en, text.nl)
    ]
    assert found
    for defaults_of_panel in found:
        [step] = defaults_of_panel["thresholds"]["steps"]
        assert step == {"color": colours[words], "value": None}


def test_a_variable_without_values_has_a_word_in_place_of_a_mistake() -> None:
    found = [
        program
        for board in BOARDS.values()
        for target in queries(board).values()
        if "/variable" in target["url"] and (program := target["root_selector"])
    ]
    assert found
    for program in found:
        [option] = jq.compile(program).input_value([]).first()
        assert option["__text"] in (shared_texts()["none"].en, shared_texts()["none"].nl)
        kept = [{"__text": "a", "__value": "b"}]
        assert jq.compile(program).input_value(kept).first() == kept
