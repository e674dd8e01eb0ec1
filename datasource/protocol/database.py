"""Transactions on the database, as the login kpi_server: read only, bounded, back by themselves."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from datasource.protocol.errors import RETRY, ApiError, unavailable
from datasource.store.connection import conninfo, database_url, fixed_now

WAIT_SECONDS = 5.0
STATEMENT_SECONDS = 20
Connection = psycopg.Connection[TupleRow]


class Database:
    """The server's connections, opened by each process when it first needs one.

    `url` names the database (the login in it is replaced by kpi_server, unless
    CHATKPI_SERVER_URL gives a whole address); CHATKPI_NOW becomes the setting kpi.now.
    """

    def __init__(self, url: str | None, size: int) -> None:
        server = os.environ.get("CHATKPI_SERVER_URL")
        address = make_conninfo(conninfo(server or url or database_url()), connect_timeout="3")
        self._url = address if server else make_conninfo(address, user="kpi_server")
        self._size = size
        self._settings = {
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "TimeZone": "UTC",
            "kpi.now": fixed_now() or "",
        }
        self._lock = threading.Lock()
        self._pools: dict[int, ConnectionPool[Connection]] = {}

    @contextmanager
    def transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        """Give a connection within a transaction that sees one state of the data.

        Raises ApiError 429 when all connections stay busy, 503 when there is no database.
        """
        try:
            connection = self._pool().getconn()
        except (PoolTimeout, TooManyRequests) as error:
            raise self._why_none(error) from None
        try:
            with connection.transaction():
                if not writes:
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield connection
        finally:
            self._pool().putconn(connection)

    def _pool(self) -> ConnectionPool[Connection]:
        with self._lock:
            return self._pools.get(os.getpid()) or self._pools.setdefault(os.getpid(), self._open())

    def _open(self) -> ConnectionPool[Connection]:
        return ConnectionPool(
            self._url,
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=0,
            max_size=self._size,
            max_waiting=2 * self._size,
            timeout=WAIT_SECONDS,
            reconnect_timeout=1.0,
            check=ConnectionPool.check_connection,
            configure=self._configure,
            open=True,
        )

    def _configure(self, connection: Connection) -> None:
        for name, value in self._settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])

    def _why_none(self, error: Exception) -> ApiError:
        try:
            psycopg.connect(self._url).close()
        except psycopg.Error as trouble:
            return unavailable(trouble)
        return ApiError(429, "busy", "All connections are busy.", RETRY, detail=str(error))


def fetch(connection: Connection, statement: LiteralString, *parameters: object) -> list[Any]:
    """Return the rows of a statement, which is constant in the program, as tuples."""
    return connection.execute(statement, parameters).fetchall()
