"""The commands, called as the script calls them, on a data set small enough to count by hand."""

import csv
import gzip
import io
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, tzinfo
from pathlib import Path

import psycopg
import pytest

from datasource.cli import checks, main
from datasource.store.connection import connect
from tests.conftest import Databases, as_superuser

Run = Callable[..., tuple[int, str, str]]

EXPERIENCE = {"type": "experience", "tenant": "acme", "id": "e1", "name": "Spring sale"}
TENANT = {"type": "tenant", "id": "acme", "timezone": "Europe/Amsterdam"}
EVENTS = [
    {
        "type": "message",
        "tenant": "acme",
        "id": f"m{n}",
        "at": at,
        "contact": contact,
        "experience": "e1",
        "from": sender,
    }
    for n, (at, contact, sender) in enumerate(
        [
            ("2026-03-01T23:30:00Z", "ann", "bot"),  # in Amsterdam it is 2 March
            ("2026-03-01T23:31:00Z", "ann", "contact"),
            ("2026-03-02T10:00:00Z", "bob", "bot"),  # a bounce
            ("2026-03-03T10:00:00Z", "ann", "bot"),  # another
        ]
    )
]
MARCH = ["--from", "2026-03-01", "--to", "2026-04-01"]


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command: its exit code, and what it wrote."""
    for name in ("DATABASE_URL", "CHATKPI_NOW", "CHATKPI_PORT", "CHATKPI_GRAFANA"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # of the parser
            code = int(str(end.code))
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


@pytest.fixture(scope="module")
def empty(database: Databases) -> str:
    """Return a database that `init` has made."""
    return database.installed()


@pytest.fixture
def fresh(run: Run, database: Databases, empty: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return `run` on a database of its own."""
    monkeypatch.setenv("DATABASE_URL", database.new_database(empty))
    return run


@pytest.fixture
def filled(fresh: Run, tmp_path: Path) -> Run:
    """Return `run` on a database with the events above, refreshed."""
    file = write(tmp_path / "all.ndjson", TENANT, EXPERIENCE, *EVENTS)
    assert fresh("load", file) == (0, "taken 6, already had 0, set aside 0\n", "")
    assert fresh("refresh")[0] == 0
    return fresh


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["kpi"],
        ["kpi", "sessions"],
        ["kpi", "no_such_kpi", *MARCH],
        ["kpi", "sessions", *MARCH, "--by", "colour"],
        ["kpi", "sessions", *MARCH, "--where", "device"],
        ["kpi", "sessions", *MARCH, "--where", "colour=red"],
        ["kpi", "sessions", *MARCH, "--series", "--total"],
        ["kpi", "sessions", *MARCH, "--interval", "year"],
        ["kpi", "sessions", *MARCH, "--format", "xml"],
        ["kpi", "sessions", "--from", "2026-02-30", "--to", "2026-03-01"],
        ["kpi", "sessions", "--from", "1999-12-31", "--to", "2026-03-01"],
        ["kpi", "sessions", "--from", "2026-03-01", "--to", "2026-03-01"],
        ["kpi", "sessions", "--from", "2026-03-01T00:00:00", "--to", "2026-04-01"],
        ["hits", "sessions", *MARCH, "--series"],
        ["explain"],
        ["explain", "no_such_kpi"],
        ["load"],
        ["refresh", "--watch", "0"],
        ["serve", "--port", "many"],
        ["demo", "--events", "-1"],
        ["token", "create", "x"],
        ["token", "create", "x", "--all", "--tenant", "acme"],
        ["token", "create", "x", "--all", "--expires", "2020-01-01"],
        ["token", "revoke"],
        ["login", "untie", "a", "b"],
    ],
    ids=" ".join,
)
def test_wrong_usage_needs_no_database_and_says_so_in_one_line(
    run: Run, arguments: list[str]
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        (1, ["init"]),
        (2, ["load", "/"]),
        (1, ["kpi", "nps", *MARCH]),
        (2, ["check"]),
        (1, ["serve"]),
    ],
)
def test_without_a_database_a_command_fails_in_one_line(
    run: Run, expected: int, arguments: list[str]
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (expected, "", 1)
    assert "DATABASE_URL" in err


def test_a_database_that_is_not_set_up_is_told_how(
    run: Run, database: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.new_database())
    code, _, err = run("kpi", "nps", *MARCH)
    assert code == 1 and "chatkpi init" in err and err.count("\n") == 1
    assert run("init")[0] == run("init")[0] == run("kpi", "nps", *MARCH)[0] == 0


def test_load_says_what_became_of_the_records(fresh: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "a.ndjson", *EVENTS, {"type": "message"})
    assert fresh("load", file) == (
        1,
        "taken 4, already had 0, set aside 1\n",
        f"{file}:5: at: missing\n",
    )
    packed = tmp_path / "b.ndjson.gz"
    packed.write_bytes(gzip.compress(write(tmp_path / "b", *EVENTS).read_bytes()))
    assert fresh("load", packed)[:2] == (0, "taken 0, already had 4, set aside 0\n")
    assert fresh("load", tmp_path / "nothing.ndjson")[0] == 2
    packed.write_bytes(packed.read_bytes()[:30])
    assert fresh("load", packed)[0] == 2


def test_kpi_totals_are_of_the_tenants_days(filled: Run) -> None:
    assert filled("kpi", "sessions", *MARCH) == (0, "value\n3\n", "")
    day = ["--from", "2026-03-01", "--to", "2026-03-02"]
    assert filled("kpi", "sessions", *day)[1].split() == ["value", "0"]
    instants = ["--from", "2026-03-01T23:00:00Z", "--to", "2026-03-02T23:00:00Z"]
    assert filled("kpi", "sessions", *instants)[1].split() == ["value", "2"]


def test_kpi_prints_csv_and_json_as_rows_with_times_of_the_tenant(filled: Run) -> None:
    days = ["--from", "2026-03-02", "--to", "2026-03-05", "--series", "--granularity", "day"]
    _, out, _ = filled("kpi", "bounces", *days, "--interval", "day", "--format", "csv")
    assert [list(row.values()) for row in csv.DictReader(io.StringIO(out))] == [
        ["2026-03-02T00:00:00+01:00", "1"],
        ["2026-03-03T00:00:00+01:00", "1"],
        ["2026-03-04T00:00:00+01:00", "0"],
    ]
    _, out, _ = filled("kpi", "bounce_rate", *MARCH, "--by", "experience", "--format", "json")
    [row] = json.loads(out)
    assert row.pop("value") == pytest.approx(200 / 3)
    assert row == {"experience": "e1", "experience_name": "Spring sale"}


def test_where_takes_alternatives(filled: Run) -> None:
    def total(*where: str) -> str:
        options = [part for condition in where for part in ("--where", condition)]
        return filled("kpi", "sessions", *MARCH, *options)[1].split()[1]

    assert total("experience=e1", "experience=e2") == "3"
    assert total("experience=e2") == total("experience=e1", "device=desktop") == "0"


def test_several_tenants_need_one_named(filled: Run, tmp_path: Path) -> None:
    assert filled("load", write(tmp_path / "b.ndjson", EVENTS[0] | {"tenant": "other"}))[0] == 0
    code, _, err = filled("kpi", "sessions", *MARCH)
    assert code == 1 and "--where tenant=" in err
    both = [
        "--where",
        "tenant=acme",
        "--where",
        "tenant=other",
        "--format",
        "csv",
        "--by",
        "tenant",
    ]
    assert filled("kpi", "sessions", *MARCH, *both)[1].splitlines()[1:] == ["acme,acme,3"]


def test_hits_are_as_many_as_the_count(filled: Run) -> None:
    _, out, _ = filled("hits", "bounces", *MARCH, "--where", "tenant=acme", "--format", "json")
    assert [hit["time"] for hit in json.loads(out)] == [
        "2026-03-02T11:00:00+01:00",
        "2026-03-03T11:00:00+01:00",
    ]


@pytest.mark.parametrize("kpi_id", ["sessions", "bounce_rate", "participants", "users_potential"])
def test_explain_shows_definition_slices_and_a_plan(filled: Run, kpi_id: str) -> None:
    code, out, _ = filled("explain", kpi_id)
    assert code == 0
    for part in (f"{kpi_id}.sql", "-- title:", "reads ", f"view kpi.{kpi_id}", "Execution Time"):
        assert part in out


def test_check_finds_what_is_wrong(
    filled: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, out, _ = filled("check")
    assert code == 1 and [line for line in out.splitlines() if not line.startswith("ok ")] == [
        "WRONG  a token: there is no valid one; run chatkpi token create"
    ]
    filled("token", "create", "grafana", "--all")
    assert filled("check")[0] == 0
    filled("load", write(tmp_path / "late.ndjson", EVENTS[0] | {"id": "late"}))
    monkeypatch.setenv("CHATKPI_MAX_BEHIND", "0")
    assert "WRONG  freshness" in filled("check")[1]
    filled("refresh")
    with connect(autocommit=True) as connection:
        connection.execute("UPDATE kpi_fact.session SET has_conversation = true")
        connection.execute("DELETE FROM kpi_admin.day_amount WHERE kpi_id = 'sessions'")
    code, out, _ = filled("check")
    assert (
        code == 1
        and "WRONG  slices equal a fresh computation" in out
        and "WRONG  days as folded" in out
    )


DROP_SLICE = """
DO $$
DECLARE
    name text;
BEGIN
    {find} INTO name;
    EXECUTE format('DROP MATERIALIZED VIEW kpi_slice.%I CASCADE', name);
END
$$"""
# What somebody may do to an installation, several things at once, and what check says of it.
FAULTS = {
    "function": {
        "DROP FUNCTION kpi.total(text, text, text, jsonb, text[], text)": "function kpi.total(text",
    },
    "missing": {
        "DROP VIEW kpi.chat_starts": "there: kpi.chat_starts is missing",
        "DROP SCHEMA kpi_http CASCADE": " more; run chatkpi init, then",
        "DROP TABLE kpi_fact.session CASCADE": "slices stand: sessions_",
        "DROP VIEW kpi_hits.leads CASCADE": " more; run chatkpi init, then",
    },
    "slices": {
        DROP_SLICE.format(
            find="SELECT relation FROM kpi_admin.slice WHERE kpi_id = 'sessions' LIMIT 1"
        ): "WRONG  slices stand: sessions_2026_03_",
        "DELETE FROM kpi_admin.slice WHERE kpi_id = 'bounces'": "belongs to no KPI",
    },
    "gap": {
        DROP_SLICE.format(
            find="DELETE FROM kpi_admin.slice WHERE kpi_id = 'bounces' RETURNING relation"
        ): "WRONG  slices hold all months: bounces has none from",
        "DELETE FROM kpi_data.event WHERE id = 'm1'": "WRONG  events are as loaded: acme: 3 loaded, 4 in the facts",
        "DROP TABLE kpi_admin.day_amount CASCADE": "WRONG  tables, views and functions",
    },
    "rights": {
        "REVOKE SELECT ON kpi.messages FROM kpi_reader": "kpi_reader may not read kpi.messages",
        "GRANT SELECT ON kpi_data.event TO PUBLIC": "may read kpi_data.event",
        "ALTER FUNCTION kpi_admin.is_owner() RESET search_path": "kpi_admin.is_owner() runs without",
    },
    "numbers": {
        "UPDATE kpi_fact.session SET has_conversation = NOT has_conversation": "slices equal a fresh computation",
        "UPDATE kpi_admin.day_amount SET amount = amount + 1 WHERE kpi_id = 'sessions'": "days as folded",
    },
}


@pytest.mark.parametrize("faults", FAULTS)
def test_check_finds_faults_and_its_advice_mends_them(filled: Run, faults: str) -> None:
    filled("token", "create", "grafana", "--all")
    with connect(autocommit=True) as connection:
        for fault in FAULTS[faults]:
            connection.execute(fault.encode())
    code, out, _ = filled("check")
    assert code == 1 and all(words in out for words in FAULTS[faults].values()), out
    wrong = [line.rpartition(";")[2] for line in out.splitlines() if line.startswith("WRONG")]
    advice = re.findall(r"chatkpi (init|refresh --full|refresh)\b", " ".join(wrong))
    for command in ("init", "refresh", "refresh --full"):
        if command in advice:
            assert filled(*command.split())[0] == 0, command
    code, out, _ = filled("check")
    assert code == 0, out


def test_check_names_what_only_people_can_mend(
    filled: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled("token", "create", "grafana", "--all")
    late = {"id": "x", "at": "2099-01-01T00:00:00Z"}
    filled("load", write(tmp_path / "future.ndjson", EVENTS[0] | late))
    filled("refresh")
    with connect(autocommit=True) as connection:
        connection.execute("INSERT INTO kpi_admin.load_run DEFAULT VALUES")  # of one that died
        # Somebody else's schema is not looked at, whatever it is called.
        connection.execute("CREATE SCHEMA kpi_other; CREATE TABLE kpi_other.t ()")
        connection.execute("GRANT SELECT ON kpi_other.t TO PUBLIC")
        name = connection.info.dbname[:30]
        connection.execute(f'CREATE ROLE "{name}" LOGIN')
        with psycopg.connect(as_superuser(connection.info.dsn)) as superuser:
            superuser.execute(f'GRANT pg_read_all_data TO "{name}"')
        connection.execute("INSERT INTO kpi_admin.login VALUES (%s, 'acme')", [name])
    code, out, _ = filled("check")
    assert code == 1
    assert "WRONG  no event is dated in the future: 1 of acme, up to 2099-01-01" in out
    assert "WRONG  loads: one began at" in out and "did not end" in out
    assert f"WRONG  logins see their tenants only: {name}" in out
    assert "ok     rights" in out
    filled("load", write(tmp_path / "nothing.ndjson", EVENTS[0]))
    _, out, _ = filled("check")
    assert (
        "ok     loads" in out and "ok     note: the last load ended" in out and "and took 0" in out
    )
    with connect(autocommit=True) as connection:
        connection.execute("UPDATE kpi_admin.load_run SET ended_at = ended_at - interval '2 days'")
    assert "ok     loads" in filled("check")[1]
    monkeypatch.setenv("CHATKPI_MAX_SILENT", "24")
    assert "WRONG  loads: none has ended for 2 days" in filled("check")[1]


def test_check_compares_the_clocks(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    filled("token", "create", "grafana", "--all")

    class Late(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Late":
            return cls.fromtimestamp(time.time() - 300, tz)

    monkeypatch.setattr(checks, "datetime", Late)
    code, out, _ = filled("check")
    assert code == 1 and "WRONG  clocks: the database is 300 s ahead of this machine" in out


def test_check_cries_no_wrong_between_an_upgrade_and_its_refresh(
    filled: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled("token", "create", "grafana", "--all")
    with connect(autocommit=True) as connection:  # as a version with other definitions left it
        connection.execute("UPDATE kpi_admin.kpi SET definition = 'old' WHERE kpi_id = 'messages'")
        connection.execute("UPDATE kpi_admin.fact SET definition = 'old' WHERE fact = 'session'")
    assert filled("init")[0] == 0
    code, out, _ = filled("check")
    assert code == 0 and "due    definitions wait for a refresh; run chatkpi refresh" in out
    with connect(autocommit=True) as connection:
        connection.execute("UPDATE kpi_admin.changed SET changed_at = now() - interval '1 hour'")
    code, out, _ = filled("check")
    assert code == 1 and "WRONG  refreshes: definitions have waited for more than 15" in out
    filled("refresh")
    code, out, _ = filled("check")
    assert code == 0 and "due" not in out


def test_check_that_cannot_look_says_so(
    run: Run, database: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.new_database())
    code, _, err = run("check")
    assert code == 2 and "chatkpi init" in err and err.count("\n") == 1
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    assert run("check")[0] == 2


def test_forget_says_how_many_events_went(filled: Run) -> None:
    contact = EVENTS[0]["contact"]
    count = sum(event["contact"] == contact for event in EVENTS)
    forget = ["forget", contact, "--tenant", "acme"]
    assert filled(*forget) == (0, f"forgot {count} events\n", "")
    assert filled(*forget)[:2] == (0, "forgot 0 events\n")
    assert filled("forget", "nobody", "--tenant", "acme")[:2] == (0, "forgot 0 events\n")
    assert filled("forget", contact)[0] == 2
    filled("token", "create", "grafana", "--all")
    code, out, _ = filled("check")
    assert code == 0 and "due    a contact that was forgotten wait for a refresh" in out
    filled("refresh")
    assert filled("check")[0] == 0


def test_tokens(fresh: Run) -> None:
    code, token, _ = fresh("token", "create", "one", "--tenant", "not yet loaded")
    assert code == 0 and token.count("\n") == 1 and len(token) > 30
    assert fresh("token", "create", "one", "--all")[0] == 1
    assert fresh("token", "create", "two", "--all", "--expires", "2099-01-01")[0] == 0
    assert token.strip() not in fresh("token", "list")[1]
    assert fresh("token", "revoke", "one")[0] == 0
    assert fresh("token", "revoke", "one")[0] == 1
    one, two = fresh("token", "list")[1].splitlines()
    assert one.startswith("one\tnot yet loaded\texpires never\trevoked 2")
    assert two == "two\tall tenants\texpires 2099-01-01 00:00:00+00:00"


def test_login_tie(fresh: Run) -> None:
    assert (
        fresh("login", "tie", "analyst", "acme")[0]
        == fresh("login", "tie", "analyst", "acme")[0]
        == 0
    )
    with connect() as connection:
        assert connection.execute("TABLE kpi_admin.login").fetchall() == [("analyst", "acme")]


def test_serve_says_that_its_port_is_taken(fresh: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = fresh("serve", "--port", taken.getsockname()[1])
    assert code == 1 and "in use" in err and err.count("\n") == 1


@pytest.mark.usefixtures("fresh")
def test_serve_says_where_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from datasource.cli import main; raise SystemExit(main())"]
    with (
        subprocess.Popen(
            [*command, "serve", "--port", str(port)], stderr=subprocess.PIPE, text=True
        ) as server,
        closing(server.stderr) as said,
    ):
        try:
            message = json.loads(said.readline())["message"]
        finally:
            server.terminate()
    assert message == f"serving on http://127.0.0.1:{port}"


def test_the_owner_is_no_superuser(filled: Run) -> None:
    with connect() as connection:
        [(is_superuser,)] = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = session_user"
        )
    assert not is_superuser
