"""A load, a refresh or the database killed at any moment: run again, and nothing shows of it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datasource.store import embedded
from datasource.store.connection import connect
from datasource.store.load import load
from datasource.store.migrate import init
from datasource.store.refresh import refresh
from tests.agreement import CATALOG, load_records
from tests.conftest import as_superuser
from tests.datasource.store.test_refresh import everything
from tests.oracle.random_records import tenants

MOMENTS = int(os.environ.get("CHATKPI_KILLS", "20"))
ROUND = """
import sys
from pathlib import Path
from datasource.catalog import Catalog
from datasource.store.connection import connect
from datasource.store.load import load
from datasource.store.refresh import refresh
connection = connect(sys.argv[1], autocommit=True)
print("started", flush=True)
load(connection, [Path(sys.argv[2])])
refresh(connection, Catalog.read())
"""
RECORDS = tenants(61, 3)
HALF = len(RECORDS) // 2


class Site:
    """A server of its own, since this one gets killed; one database that nothing happened to."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.home = home
        self.late = folder / "late.ndjson"
        self.url = embedded.url(home, throwaway=True)
        with connect(self.url, autocommit=True) as connection:
            init(connection, CATALOG)
            load_records(connection, RECORDS[:HALF], folder)
            refresh(connection, CATALOG)
        (folder / "records.ndjson").rename(folder / "early.ndjson")
        self.half = self.copy(self.url)
        with connect(self.url, autocommit=True) as connection:
            # Names and parents show as soon as they are loaded, so that this is another state.
            self.unloaded = everything(connection)
            load_records(connection, RECORDS[HALF:], folder)
            (folder / "records.ndjson").rename(self.late)
            self.before = everything(connection)  # loaded, not refreshed: the numbers of before
            started = time.monotonic()
            refresh(connection, CATALOG)
            self.takes = time.monotonic() - started + 0.5
            self.undisturbed = everything(connection)

    def copy(self, url: str) -> str:
        """A new database that is a copy of another; waits for the server to be back."""
        source = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        name = f"copy_{random.randbytes(6).hex()}"
        for _ in range(200):
            try:
                with psycopg.connect(
                    as_superuser(self.url.replace("/chatkpi?", "/postgres?")), autocommit=True
                ) as connection:
                    create = f'CREATE DATABASE "{name}" TEMPLATE "{source}" OWNER chatkpi'
                    connection.execute(create.encode())
                    # A copied sequence is not in the log until a checkpoint: a crash would turn it back.
                    connection.execute("CHECKPOINT")
                return self.url.replace("/chatkpi?", f"/{name}?")
            except (psycopg.OperationalError, psycopg.errors.ObjectInUse):
                time.sleep(0.1)
        raise AssertionError("the server did not come back")

    def postmaster(self) -> int:
        """The process id of the server."""
        return int((self.home / "data" / "postmaster.pid").read_text().splitlines()[0])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = Path(tempfile.mkdtemp(prefix="chatkpi-killed-"))
    yield Site(tmp_path_factory.mktemp("killed"), home)
    shutil.rmtree(home, ignore_errors=True)


def connected(url: str) -> psycopg.Connection[Any]:
    """A connection, once the server takes any."""
    for _ in range(200):
        try:
            return psycopg.connect(url, autocommit=True)
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError("the server did not come back")


def everything_at_once(connection: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """What people can read, again if it changed on the way: a COMMIT may outlive the client that sent it."""
    generation = "SELECT generation FROM kpi_admin.state"
    while True:
        [before], seen = connection.execute(generation).fetchall(), everything(connection)
        if connection.execute(generation).fetchall() == [before]:
            return seen


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_and_run_again(moment: int, site: Site) -> None:
    rng = random.Random(moment)
    url = site.copy(site.half)
    process = subprocess.Popen(
        [sys.executable, "-c", ROUND, url, str(site.late)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout and process.stdout.readline() == b"started\n"
    time.sleep(rng.uniform(0, site.takes))
    if moment % 3 == 2:
        os.kill(site.postmaster(), signal.SIGKILL)
    process.kill()
    process.wait()
    with connected(url) as connection:
        seen = everything_at_once(connection)
        whole = (site.unloaded, site.before, site.undisturbed)
        assert seen in whole, "neither the old numbers nor the new ones"
        load(connection, [site.late])
        refresh(connection, CATALOG)
        assert everything(connection) == site.undisturbed
        again = refresh(connection, CATALOG)
    assert again.slices == 0
