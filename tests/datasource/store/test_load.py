"""Loads: what is taken, what was there already, what is set aside, and what a death leaves."""

import gzip
import io
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from datasource.documentation.record_docs import example
from datasource.store import lines, turns
from datasource.store.contract import TYPES
from datasource.store.errors import StoreError
from datasource.store.load import Counts, load
from tests.conftest import Databases

ROOT = Path(__file__).parents[3]
Connection = psycopg.Connection[TupleRow]


@pytest.fixture(scope="module")
def schema(database: Databases) -> str:
    """Return the URL of a database with the raw tables, to make others from."""
    url = database.new_database()
    with psycopg.connect(url) as connection:
        for path in sorted((ROOT / "views" / "schema").glob("1*.sql")):
            connection.execute(path.read_bytes())
        turns.create(connection)
    return url


@pytest.fixture
def url(database: Databases, schema: str) -> str:
    return database.new_database(schema)


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with psycopg.connect(url, autocommit=True) as made:
        yield made


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes records, or raw lines, into a file."""

    def write(*records: dict[str, Any] | bytes, name: str = "load.ndjson") -> Path:
        raw = b"".join(
            (r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records
        )
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return write


def event(id: str = "e", /, **fields: object) -> dict[str, Any]:
    start = {"type": "click", "tenant": "t", "id": id, "at": "2026-03-01T10:00:00Z"}
    return start | fields


def entity(type: str, id: str = "x", /, **fields: object) -> dict[str, Any]:
    return {"type": type, "tenant": "t", "id": id} | fields


def rows(connection: Connection, query: str) -> list[TupleRow]:
    return connection.execute(query.encode()).fetchall()


def test_events_and_entities_in_any_order(connection: Connection, write: Any) -> None:
    path = write(
        event("e1", contact="c", module="m"),
        entity("module", "m", next=["n"]),
        event("e1", tenant="u", extra_field=[1, "\\\t"]),
        {"type": "tenant", "id": "t", "timezone": "Europe/Amsterdam"},
        event("e2", type="nps", score=9, text='two\nlines\tand a "\\N"'),
        entity("potential", month="2026-03", inbound_leads=10, workshop_jobs=None),
    )
    assert load(connection, [path]) == Counts(6, 0, 0)
    assert rows(
        connection,
        "SELECT tenant, id, contact, score, text, extra FROM kpi_data.event "
        "JOIN kpi_data.tenant_number USING (tenant_no) ORDER BY tenant, id",
    ) == [
        ("t", "e1", "c", None, None, None),
        ("t", "e2", None, 9, 'two\nlines\tand a "\\N"', None),
        ("u", "e1", None, None, None, {"extra_field": [1, "\\\t"]}),
    ]
    assert rows(connection, "SELECT name, timezone, session_minutes FROM kpi_data.tenant") == [
        ("t", "Europe/Amsterdam", 30)
    ]
    assert rows(connection, "SELECT month::text, inbound_leads, ends FROM kpi_data.potential") == [
        ("2026-03-01", 10, ["workshop_jobs"])
    ]
    assert rows(connection, "SELECT load_no, taken FROM kpi_admin.load") == [(1, 6)]
    assert rows(connection, "SELECT DISTINCT load_no FROM kpi_data.event") == [(1,)]


def test_a_repeat_counts_once(connection: Connection, write: Any) -> None:
    path = write(event("a"), event("b", type="nps", score=1), event("a"))
    assert load(connection, [path]) == Counts(2, 1, 0)
    again = write(event("b", type="nps", score=1.0), event("c"), name="again.ndjson")
    assert load(connection, [path, again]) == Counts(1, 4, 0)
    assert rows(connection, "SELECT string_agg(id, '' ORDER BY id) FROM kpi_data.event") == [
        ("abc",)
    ]


def test_another_content_is_set_aside(connection: Connection, write: Any) -> None:
    told: list[str] = []
    path = write(event("a"), event("a", contact="c"), event("a", tenant="u"), event("a"))
    assert load(connection, [path], err=told.append) == Counts(2, 1, 1)
    later = write(event("b"), event("a", type="visit"), name="later.ndjson")
    assert load(connection, [later], err=told.append) == Counts(1, 0, 1)
    reason = "id: taken by another content"
    assert told == [f"{path}:2: {reason}", f"{later}:2: {reason}"]
    assert rows(connection, "SELECT type, contact FROM kpi_data.event WHERE tenant_no = 1") == [
        ("click", None),
        ("click", None),
    ]


def test_conflicts_across_chunks(
    connection: Connection, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 3)
    monkeypatch.setattr("datasource.store.load.BATCH_LINES", 6)
    told: list[str] = []
    path = write(*(event(f"e{n % 10}", n=n // 20) for n in range(30)))
    assert load(connection, [path], err=told.append) == Counts(10, 10, 10)
    assert [int(line.split(":")[1]) for line in told] == list(range(21, 31))
    assert rows(connection, "SELECT count(DISTINCT load_no) FROM kpi_data.event") == [(2,)]
    assert rows(connection, "SELECT sum(taken), sum(already_had) FROM kpi_admin.load") == [(10, 10)]


def test_bad_lines_are_set_aside_and_the_rest_goes_on(connection: Connection, write: Any) -> None:
    told: list[str] = []
    at_limit = json.dumps(event("long")).encode()[:-1] + b', "x": "%s"}'
    at_limit %= b"x" * (lines.LINE_BYTES - len(at_limit) + 2)
    path = write(
        b"\xef\xbb\xbf" + json.dumps(event("a")).encode() + b"\r",
        b"",
        b" \t\r",
        b"{no",
        at_limit,
        at_limit[:-1] + b" }\r",
        b"y" * 3_000_000,
        event("b", type="nps", score=11),
        event("c"),
    )
    assert load(connection, [path], err=told.append) == Counts(3, 0, 4)
    starts = [line.removeprefix(f"{path}:")[:9] for line in told]
    assert starts == ["4: not JS", "6: longer", "7: longer", "8: score:"]
    found = rows(connection, "SELECT file, line, raw FROM kpi_admin.set_aside ORDER BY line")
    assert [row[:2] for row in found] == [(str(path), n) for n in (4, 6, 7, 8)]
    assert found[0][2] == b"{no"
    assert found[2][2] == b"y" * lines.LINE_BYTES


def test_long_ids_that_no_index_holds_are_set_aside(connection: Connection, write: Any) -> None:
    # PostgreSQL gives up on what repeats nothing in its first 1,024 bytes, however short Huffman
    # codes would make it: 530 pairs of letters, no two of them alike.
    pairs = [chr(0x400 + n) for n in range(64)]
    no_repeats = "".join(
        pairs[n] + pairs[(n + step) % 64] for step in range(1, 9) for n in range(64)
    )
    chosen = random.Random(1)
    few_letters = "".join(chosen.choice("漢字仮名交文章語彙") for _ in range(1000))
    fits = "漢" * 1000
    ids = [no_repeats[:530] + "😀" * 470, few_letters, fits]
    taken, _, set_aside = load(connection, [write(*(event(id) for id in ids))])
    assert taken + set_aside == 3
    assert (fits,) in rows(connection, "SELECT id FROM kpi_data.event")
    assert (ids[0],) not in rows(connection, "SELECT id FROM kpi_data.event")


def test_only_a_hundred_are_told(connection: Connection, write: Any) -> None:
    told: list[str] = []
    assert load(connection, [write(*[b"?"] * 150)], err=told.append) == Counts(0, 0, 150)
    assert len(told) == 100
    assert rows(connection, "SELECT count(*) FROM kpi_admin.set_aside") == [(150,)]


def test_the_name_of_a_file_ends_no_load(connection: Connection, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / os.fsdecode(b"\xff\x1b[31m\nred.ndjson")).write_text("?\n")
    (inbox / "well.ndjson").write_text(json.dumps(event()) + "\n")
    told: list[str] = []
    assert load(connection, [inbox], err=told.append) == Counts(1, 0, 1)
    name = rf"{inbox}/\udcff\x1b[31m\nred.ndjson"
    assert rows(connection, "SELECT file FROM kpi_admin.set_aside") == [(name,)]
    assert told == [f"{name}:1: not JSON: unexpected character, expected a JSON value"]


def test_a_time_zone_unknown_to_postgresql(
    connection: Connection, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasource.store.checks._zones", lambda: {"Mars/Olympus", "UTC"})
    path = write(
        {"type": "tenant", "id": "t", "timezone": "Mars/Olympus"}, {"type": "tenant", "id": "u"}
    )
    assert load(connection, [path], err=lambda _: None) == Counts(1, 0, 1)


def test_the_last_record_of_an_entity_holds(connection: Connection, write: Any) -> None:
    first = write(
        entity("bot", "b", name="First"),
        entity("bot", "b", name="Second", active=False),
        entity("bot", "c"),
        entity("user", "u", name="A", level=2, department="d"),
        entity("user", "u", name="B"),
        entity("potential", month="2026-03", inbound_leads=1),
        entity("potential", "other", month="2026-03", workshop_jobs=2),
    )
    assert load(connection, [first]) == Counts(7, 0, 0)
    bots = "SELECT id, name, description, active FROM kpi_data.bot ORDER BY id"
    assert rows(connection, bots) == [("b", "First", "First", False), ("c", "c", "c", True)]
    assert rows(connection, 'SELECT name, level, department FROM kpi_data."user"') == [
        ("B", None, None)
    ]
    assert rows(connection, "SELECT inbound_leads, workshop_jobs FROM kpi_data.potential") == [
        (None, 2)
    ]
    second = write(
        entity("bot", "b", name="Third", description="new"),
        entity("bot", "c", name="Named"),
        name="second.ndjson",
    )
    assert load(connection, [second]) == Counts(2, 0, 0)
    assert rows(connection, bots) == [("b", "First", "new", True), ("c", "c", "c", True)]


def test_every_kind_of_entity(connection: Connection, write: Any) -> None:
    kinds = ["folder", "experience", "module", "location", "department", "inbox", "channel"]
    kinds += ["user", "bot"]
    path = write(*(entity(kind, name="N", more=1) for kind in kinds))
    assert load(connection, [path]) == Counts(9, 0, 0)
    for kind in kinds:
        assert rows(connection, f'SELECT id, name, extra, load_no FROM kpi_data."{kind}"') == [
            ("x", "N", {"more": 1}, 1)
        ]


def test_every_example_of_the_contract_is_loaded(connection: Connection, write: Any) -> None:
    examples = [example(known).encode() for known in TYPES.values()]
    told: list[str] = []
    assert load(connection, [write(*examples)], err=told.append) == Counts(len(examples), 0, 0), (
        told
    )
    assert rows(connection, "SELECT DISTINCT extra FROM kpi_data.event") == [(None,)]


def test_folders_gz_and_standard_input(
    connection: Connection, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(event("a"), name="in/1.ndjson")
    write(event("b"), name="in/deep/2.ndjson.gz")
    write(event("d"), name="in/LOUD.NDJSON")
    write(event("e"), name="in/louder.gz").rename(tmp_path / "in" / "LOUDER.NDJSON.GZ")
    write(b"?", name="in/readme.txt")
    piped = write(event("c"), b"?", name="pipe.gz")
    progress: list[tuple[int, int]] = []
    told: list[str] = []
    standard_input = os.dup(0)
    with piped.open("rb") as source:
        os.dup2(source.fileno(), 0)
    try:
        counts = load(
            connection,
            [tmp_path / "in", "-"],
            on_progress=lambda done, total: progress.append((done, total)),
            err=told.append,
        )
    finally:
        os.dup2(standard_input, 0)
        os.close(standard_input)
    assert counts == Counts(5, 0, 1)
    assert told == ["-:2: not JSON: unexpected character, expected a JSON value"]
    inside = [path for path in (tmp_path / "in").rglob("*.*") if path.suffix != ".txt"]
    total = sum(path.stat().st_size for path in (*inside, piped))
    read = [done for done, _ in progress]
    assert read == sorted(set(read)) and read[-1] == total
    assert {of for _, of in progress} == {total}


def test_a_json_array_is_set_aside_and_called_one(connection: Connection, write: Any) -> None:
    told: list[str] = []
    array = b"[" + b",".join(json.dumps(event(name)).encode() for name in "ab") + b"]"
    assert load(connection, [write(array)], err=told.append) == Counts(0, 0, 1)
    assert [line.partition(":1: ")[2] for line in told] == [
        "a JSON array; one record a line is needed"
    ]


def test_a_broken_gz_keeps_what_could_be_read(connection: Connection, write: Any) -> None:
    whole = write(*(event(str(n), x=os.urandom(50).hex()) for n in range(20_000)), name="a.gz")
    whole.write_bytes(whole.read_bytes()[:-100_000])
    told: list[str] = []
    counts = load(connection, [whole], err=told.append)
    assert counts.taken > 10_000 and counts.set_aside == 1
    assert told == [f"{whole}:{counts.taken + 1}: {told[0].split(': ', 1)[1]}"]
    assert "cannot be read to its end" in told[0]


def test_a_short_gz_that_is_cut_off_keeps_its_whole_lines(
    connection: Connection, write: Any
) -> None:
    path = write(*(event(str(n), x=os.urandom(50).hex()) for n in range(100)), name="short.gz")
    path.write_bytes(path.read_bytes()[:-1000])
    told: list[str] = []
    counts = load(connection, [path], err=told.append)
    assert counts.taken > 50 and counts.set_aside == 1
    assert told == [f"{path}:{counts.taken + 1}: {told[0].split(': ', 1)[1]}"]


def test_what_cannot_be_read_is_told_once(
    connection: Connection, write: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.ndjson.gz"
    broken.write_bytes(b"no gzip at all")
    told: list[str] = []
    with pytest.raises(StoreError, match="cannot be read to its end"):
        load(connection, [broken], err=told.append)
    assert told == []
    assert load(connection, [broken, write(event())], err=told.append) == Counts(1, 0, 1)
    assert len(told) == 1 and told[0].startswith(f"{broken}: cannot be read")


def test_nothing_to_read_is_an_error(connection: Connection, write: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ndjson.gz"
    broken.write_bytes(b"no gzip at all")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none.ndjson", broken, tmp_path / "empty"):
        with pytest.raises(StoreError) as caught:
            load(connection, [path], err=lambda _: None)
        assert str(path) in str(caught.value)
    assert load(connection, [write(name="nothing.ndjson")]) == Counts(0, 0, 0)
    told: list[str] = []
    with turns.turn(connection, "load", told.append):
        assert told == []  # nobody has the turn


def children(pid: int) -> list[Path]:
    """Return the /proc folders of a process's children."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path("/proc", child) for child in pids]


def wait_for_end(processes: list[Path]) -> None:
    """Wait for processes to be gone."""
    end = time.monotonic() + 10
    while any(process.exists() for process in processes):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_interrupted_load_leaves_no_batch_half(connection: Connection, write: Any) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(connection, [write(event())], on_progress=interrupt)
    assert rows(connection, "SELECT count(*) FROM kpi_admin.load") == [(0,)]
    assert load(connection, [write(event())]) == Counts(1, 0, 0)


def test_without_tables_there_is_a_hint(database: Databases, write: Any) -> None:
    with psycopg.connect(database.new_database()) as empty:
        with pytest.raises(StoreError) as caught:
            load(empty, [write(event())])
        assert "init" in caught.value.hint
        assert not empty.autocommit


def test_a_database_that_goes_away_is_told(url: str, connection: Connection, write: Any) -> None:
    path = write(*[event()] * 30_000)
    with psycopg.connect(url) as dying:
        end_it = f"SELECT pg_terminate_backend({dying.info.backend_pid}, 5000)"

        def end(done: int, total: int) -> None:
            rows(connection, end_it)

        with pytest.raises(StoreError, match="the database failed"):
            load(dying, [path], on_progress=end)


LOADER = """
import sys
import psycopg
from datasource.store import lines, load
lines.CHUNK_LINES, load.BATCH_LINES = 1000, 5000
with psycopg.connect(sys.argv[1]) as connection:
    load.load(connection, sys.argv[2:])
"""


def test_a_load_that_dies_is_run_again(url: str, connection: Connection, write: Any) -> None:
    path = write(*(event(str(n)) for n in range(150_000)), entity("folder"))
    process = subprocess.Popen(
        [sys.executable, "-c", LOADER, url, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    while rows(connection, "SELECT count(*) FROM kpi_admin.load")[0][0] < 3:
        time.sleep(0.01)
    parsers = children(process.pid)
    process.kill()
    process.wait()
    assert parsers
    wait_for_end(parsers)
    (had,) = rows(connection, "SELECT count(*) FROM kpi_data.event")[0]
    assert 15_000 <= had < 150_000
    counts = load(connection, [path])
    (had_then,) = rows(connection, "SELECT sum(taken) FROM kpi_admin.load WHERE load_no < 1000")[0]
    assert counts.taken + counts.already_had == 150_001 and counts.already_had % 5000 == 0
    assert had_then == 150_001
    assert rows(connection, "SELECT count(*) FROM kpi_data.event") == [(150_000,)]


def test_a_parser_that_dies_is_told(
    connection: Connection, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 1000)
    path = write(*(event(str(n)) for n in range(20_000)))
    workers: list[subprocess.Popen[bytes]] = []
    start = lines._worker
    monkeypatch.setattr(lines, "_worker", lambda: workers.append(start()) or workers[-1])

    def kill(done: int, total: int) -> None:
        for worker in workers:
            worker.kill()

    with pytest.raises(StoreError, match="a process that parses records ended"):
        load(connection, [path], on_progress=kill)
    assert workers
    assert load(connection, [path]) == Counts(20_000, 0, 0)


def test_loads_queue(url: str, connection: Connection, write: Any) -> None:
    with turns.turn(connection, "load"):
        process = subprocess.Popen(
            [sys.executable, "-c", LOADER, url, str(write(event()))],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        words = process.stderr.readline()
        assert re.fullmatch(
            r"waiting for its turn to load, behind pid \d+ "
            r"\(login chatkpi, application chatkpi load, since 2.*\)\n",
            words,
        )
        assert process.poll() is None
    assert process.wait(30) == 0


def test_no_other_login_holds_loads_up(url: str, connection: Connection, write: Any) -> None:
    """Once loads waited for advisory locks, which every login may take."""
    name = connection.info.dbname[:30]
    connection.execute(f'CREATE ROLE "{name}" LOGIN')
    with psycopg.connect(url, user=name, autocommit=True) as stranger:
        for number in (0x6B706901, 0x6B706902):
            stranger.execute("SELECT pg_advisory_lock(%s)", [number])
        with pytest.raises(psycopg.errors.InsufficientPrivilege), stranger.transaction():
            stranger.execute("LOCK TABLE kpi_admin.turn_to_load IN ACCESS SHARE MODE")
        connection.execute("SET lock_timeout = '5s'; SET statement_timeout = '20s'")
        assert load(connection, [write(event())]) == Counts(1, 0, 0)


def test_a_load_that_lost_its_turn_takes_nothing(
    url: str, connection: Connection, write: Any
) -> None:
    def end_holder(done: int, total: int) -> None:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = 'chatkpi load' AND datname = current_database()"
            )

    with pytest.raises(StoreError, match="the turn to load was ended"):
        load(connection, [write(event())], on_progress=end_holder)
    assert rows(connection, "SELECT count(*) FROM kpi_data.event") == [(0,)]


def test_lines_set_aside_are_kept_for_some_days(
    connection: Connection, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(connection, [write(b"{", b"[")], err=lambda _: None)
    connection.execute(
        "UPDATE kpi_admin.set_aside SET loaded_at = now() - interval '31 days' WHERE line = 1"
    )
    load(connection, [write(event())])
    assert rows(connection, "SELECT line FROM kpi_admin.set_aside") == [(2,)]
    monkeypatch.setenv("CHATKPI_KEEP_SET_ASIDE", "0")
    load(connection, [write(event())])
    assert rows(connection, "SELECT line FROM kpi_admin.set_aside") == []
    monkeypatch.setenv("CHATKPI_KEEP_SET_ASIDE", "-1")
    with pytest.raises(StoreError, match="CHATKPI_KEEP_SET_ASIDE"):
        load(connection, [write(event())])


def test_memory_stays_flat(url: str, connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "large.ndjson"
    report = "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    peaks = []
    for count in (1_000, 300_000):
        with path.open("w") as file:
            for n in range(count):
                print(json.dumps(event(f"{count}-{n}", extra_field="x" * 200)), file=file)
        done = subprocess.run(
            [sys.executable, "-c", LOADER.replace("1000, 5000", "10_000, 200_000") + report]
            + [url, str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            check=True,
        )
        peaks.append(int(done.stdout) // 1024)
    assert path.stat().st_size > 90_000_000
    assert peaks[1] < peaks[0] + 60


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    class Endless(io.RawIOBase):
        left = 200_000_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    (line,) = lines._lines(io.BufferedReader(Endless()))
    assert len(line) == lines.LINE_BYTES + 1
