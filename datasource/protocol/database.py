"""The database as kpi_server: one read-only statement a request, bounded, back by itself."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from datasource.protocol.errors import RETRY, ApiError, unavailable
from datasource.store.connection import conninfo, database_url, fixed_now

WAIT_SECONDS = 5.0
LOOK_SECONDS = 1.0  # of waiting, after which it is looked whether there is a database at all
STATEMENT_SECONDS = 20
STALLED_SECONDS = 60  # after which a download that its reader does not take ends
BATCH = 1000  # rows of a download at a time
Connection = psycopg.Connection[TupleRow]


class Database:
    """The server's connections, opened by each process when it first needs one.

    `url` names the database (the login in it is replaced by kpi_server, unless
    CHATKPI_SERVER_URL gives a whole address); CHATKPI_NOW becomes the setting kpi.now. Every
    statement is a transaction of its own that sees one state of the data.

    Methods raise ApiError 429 when all connections stay busy, 503 when there is no database.
    """

    def __init__(self, url: str | None, size: int) -> None:
        server = os.environ.get("CHATKPI_SERVER_URL")
        address = make_conninfo(conninfo(server or url or database_url()), connect_timeout="3")
        self._url = address if server else make_conninfo(address, user="kpi_server")
        self._size = size
        self._settings = {
            "default_transaction_read_only": "on",
            "default_transaction_isolation": "repeatable read",
            "idle_in_transaction_session_timeout": f"{STALLED_SECONDS}s",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "plan_cache_mode": "force_generic_plan",  # statements are constant and short
            "TimeZone": "UTC",
            "kpi.now": fixed_now() or "",
        }
        self._lock = threading.Lock()
        self._waiting = 0
        self._pools: dict[int, ConnectionPool[Connection]] = {}

    def fetch(self, statement: LiteralString, *parameters: object) -> list[Any]:
        """Return the rows of a statement, which is constant in the program, as tuples."""
        return self._tried(lambda connection: connection.execute(statement, parameters).fetchall())

    def write(self, statement: LiteralString, *parameters: object) -> list[Any]:
        """Return the rows of a statement that writes."""

        def execute(connection: Connection) -> list[Any]:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
                return connection.execute(statement, parameters).fetchall()

        return self._tried(execute)

    def stream(self, statement: LiteralString, *parameters: object) -> Iterator[Any]:
        """Give the rows of a statement a batch at a time; its errors come with the first."""
        with (
            self.connection() as connection,
            connection.transaction(),
            connection.cursor(name="rows") as cursor,
        ):
            cursor.execute(statement, parameters)
            while batch := cursor.fetchmany(BATCH):
                yield from batch

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a connection of this process."""
        connection = self._waited_for()
        try:
            yield connection
        finally:
            self._pool().putconn(connection)

    def _tried(self, execute: Callable[[Connection], list[Any]]) -> list[Any]:
        with self.connection() as connection:
            try:
                return execute(connection)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
        # The database was started again since this connection was opened, and so were others.
        self._pool().check()
        with self.connection() as connection:
            return execute(connection)

    def _waited_for(self) -> Connection:
        # Counted here, for the pool's own queue goes on counting those who have given up; full
        # of them, it would never connect again.
        with self._lock:
            if self._waiting >= 2 * self._size:
                raise busy("Too many requests wait for a connection.")
            self._waiting += 1
        try:
            return self._found(time.monotonic() + WAIT_SECONDS)
        finally:
            with self._lock:
                self._waiting -= 1

    def _found(self, deadline: float) -> Connection:
        while (left := deadline - time.monotonic()) > 0:
            with suppress(PoolTimeout):
                return self._pool().getconn(min(left, LOOK_SECONDS))
            try:
                psycopg.connect(self._url).close()
            except psycopg.Error as trouble:
                raise unavailable(trouble) from None
        raise busy(f"No connection came free within {WAIT_SECONDS:.0f} s.")

    def _pool(self) -> ConnectionPool[Connection]:
        with self._lock:
            return self._pools.get(os.getpid()) or self._pools.setdefault(os.getpid(), self._open())

    def _open(self) -> ConnectionPool[Connection]:
        return ConnectionPool(
            self._url,
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=0,
            max_size=self._size,
            reconnect_timeout=1.0,
            configure=self._configure,
            open=True,
        )

    def _configure(self, connection: Connection) -> None:
        for name, value in self._settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])


def busy(detail: str) -> ApiError:
    """Return the refusal of a request for which there is no connection."""
    return ApiError(429, "busy", "All connections are busy.", RETRY, detail=detail)
