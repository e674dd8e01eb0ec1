"""Fixtures that every test may use.

`database` is a throw-away PostgreSQL server, shared by all workers of a pytest-xdist run: it
starts with the first test that asks for it, stops by itself about a second after the last
worker has ended, and takes its folder with it.

    def test_x(database: Databases) -> None:
        url = database.new_database()            # empty, in 15 to 100 ms
        copy = database.new_database(url)        # as `url` is now; nobody may be connected to it
"""

import os
import tempfile
import uuid
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from datasource.catalog import Catalog
from datasource.store import embedded, rights
from datasource.store.connection import connect
from datasource.store.keeper import SUPERUSER
from datasource.store.migrate import init


class Databases:
    """Makes databases on the throw-away server. They go with it; none needs dropping."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._strategy = "FILE_COPY"
        self._installed: str | None = None
        self._connection.execute("SET file_copy_method = clone")

    def new_database(self, template: str = "template1") -> str:
        """Create a database, empty or a copy of `template` (a URL from here); return its URL."""
        source = str(conninfo_to_dict(template)["dbname"]) if "://" in template else template
        name = f"test_{uuid.uuid4().hex}"
        create = f'CREATE DATABASE "{name}" TEMPLATE "{source}" STRATEGY '
        try:
            self._connection.execute(create + self._strategy)
        except psycopg.Error:  # the file system cannot clone files
            self._strategy = "WAL_LOG"
            self._connection.execute(create + self._strategy)
        return self.url.replace("/chatkpi?", f"/{name}?")

    def installed(self) -> str:
        """Create a database in which `chatkpi init` has run; return its URL.

        It is a copy of one that is made once, but for what `init` says about the database itself,
        which copies do not have.
        """
        if self._installed is None:
            self._installed = self.new_database()
            with connect(self._installed, autocommit=True) as connection:
                init(connection, Catalog.read())
        url = self.new_database(self._installed)
        with connect(url, autocommit=True) as connection:
            connection.execute(rights.CLOSE_DATABASE.encode())
        return url


def as_superuser(url: str) -> str:
    """The address of a test's database for the server's superuser, who owns nothing in it."""
    return make_conninfo(url, user=SUPERUSER)


@pytest.fixture(scope="session")
def database() -> Databases:
    """Return the maker of databases on the test run's own server."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    # Not below pytest's own temporary folder, which as root PostgreSQL's user may not enter.
    home = Path(tempfile.gettempdir(), f"chatkpi-test-{run[:12]}")
    return Databases(embedded.url(home, throwaway=True))
