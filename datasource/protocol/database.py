"""The database as kpi_server: one read-only statement a request, bounded, back by itself."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from datasource.protocol.errors import RETRY, ApiError, internal, of_question
from datasource.protocol.gates import Gate
from datasource.protocol.settings import Settings
from datasource.store.connection import conninfo, database_url, fixed_now

log = logging.getLogger("chatkpi")

WAIT_SECONDS = 5.0
LOOK_SECONDS = 1.0  # of waiting, after which it is looked whether there is a database at all
STATEMENT_SECONDS = 20
# After which the database ends a download by itself; a reader who stalls is cut off sooner.
STALLED_SECONDS = 60
BATCH = 1000  # rows of a download at a time
# A download's place among those of its token: a lock that ends with its transaction, in whatever
# process that is. The classes of locks that a load and a refresh take are others.
DOWNLOADS_LOCK = 0x646F776E
PLACE = """
SELECT place FROM generate_series(1, %s) AS place
WHERE pg_catalog.pg_try_advisory_xact_lock(%s, pg_catalog.hashtext(%s || ' ' || place)) LIMIT 1"""
Connection = psycopg.Connection[TupleRow]


class Pool:
    """Connections of one process, opened when they are first needed, for so many users at once."""

    def __init__(self, url: str, size: int, settings: dict[str, str]) -> None:
        self._url, self._size, self._settings = url, size, settings
        self._gate = Gate(size)  # in front of the pool's own queue, which is not first come
        self._lock = threading.Lock()
        self._pools: dict[int, ConnectionPool[Connection]] = {}

    @contextmanager
    def connection(self, seconds: float) -> Iterator[Connection]:
        """Give a connection, for which to wait at most so many seconds.

        Raises ApiError 429 when all stay busy, 503 when there is no database.
        """
        deadline = time.monotonic() + seconds
        if not self._gate.enter(seconds):
            raise busy(f"No connection came free within {seconds:.0f} s.")
        try:
            connection = self._found(deadline)
            try:
                yield connection
            finally:
                self.opened().putconn(connection)
        finally:
            self._gate.leave()

    def _found(self, deadline: float) -> Connection:
        while True:
            left = max(0.1, deadline - time.monotonic())
            with suppress(PoolTimeout):
                return self.opened().getconn(min(left, LOOK_SECONDS))
            try:
                psycopg.connect(self._url).close()
            except psycopg.Error as trouble:
                raise unavailable(trouble) from None
            if time.monotonic() > deadline:
                raise busy("No connection could be opened in time.")

    def opened(self) -> ConnectionPool[Connection]:
        """Return this process's pool: one that was opened before a fork is of no use after it."""
        with self._lock:
            return self._pools.get(os.getpid()) or self._pools.setdefault(os.getpid(), self._open())

    def _open(self) -> ConnectionPool[Connection]:
        pool = ConnectionPool(
            self._url,
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=0,
            max_size=self._size,
            reconnect_timeout=1.0,
            # Idle ones beyond a burst go back to the database, which has few for everybody.
            max_idle=60.0,
            # No method: the pool is held until this object goes, and would hold it in turn.
            configure=partial(_configure, self._settings),
            open=True,
        )
        weakref.finalize(self, pool.close, timeout=1)  # at the end of the process, too
        return pool


def _configure(settings: Mapping[str, str], connection: Connection) -> None:
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])


class Database:
    """The server's connections, opened by each process when it first needs one.

    `url` names the database (the login in it is replaced by kpi_server, unless
    CHATKPI_SERVER_URL gives a whole address); CHATKPI_NOW becomes the setting kpi.now. Every
    statement is a transaction of its own that sees one state of the data. Downloads have
    connections of their own: however slowly they are read, questions have theirs.

    Methods raise ApiError 429 when all connections stay busy, 503 when there is no database.
    """

    def __init__(self, url: str | None, settings: Settings) -> None:
        server = os.environ.get("CHATKPI_SERVER_URL")
        address = make_conninfo(conninfo(server or url or database_url()), connect_timeout="3")
        login = address if server else make_conninfo(address, user="kpi_server")
        session = {
            "default_transaction_read_only": "on",
            "default_transaction_isolation": "repeatable read",
            "idle_in_transaction_session_timeout": f"{STALLED_SECONDS}s",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "plan_cache_mode": "force_generic_plan",  # statements are constant and short
            "TimeZone": "UTC",
            "kpi.now": fixed_now() or "",
        }
        self._questions = Pool(login, settings.connections, session)
        self._downloads = Pool(login, settings.downloads, session)
        self._token_downloads = settings.token_downloads

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

    def download(
        self, token: bytes, statement: LiteralString, *parameters: object
    ) -> Generator[Any, None, None]:
        """Give the rows of a statement a batch at a time; its errors come with the first.

        Raises ApiError 429 when the token (its hash) has as many downloads as it may, or all
        connections for downloads are in use.
        """
        with self._downloads.connection(WAIT_SECONDS) as connection, connection.transaction():
            place = [self._token_downloads, DOWNLOADS_LOCK, token.hex()]
            if not connection.execute(PLACE, place).fetchone():
                message = f"This token may have {self._token_downloads} downloads at once."
                raise ApiError(429, "too_many_downloads", message, RETRY)
            with connection.cursor(name="rows") as cursor:
                cursor.execute(statement, [token, *parameters])
                while batch := cursor.fetchmany(BATCH):
                    yield from batch

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a connection of this process for a question."""
        with self._questions.connection(WAIT_SECONDS) as connection:
            yield connection

    def _tried(self, execute: Callable[[Connection], list[Any]]) -> list[Any]:
        with self.connection() as connection:
            try:
                return execute(connection)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
        # The database was started again since this connection was opened, and so were others.
        self._questions.opened().check()
        with self.connection() as connection:
            return execute(connection)


def busy(detail: str) -> ApiError:
    """Return the refusal of a request for which there is no connection."""
    return ApiError(429, "busy", "All connections are busy.", RETRY, detail=detail)


def unavailable(error: BaseException) -> ApiError:
    """Return the refusal for a database that cannot answer now."""
    log.warning("the database cannot answer: %s", str(error).strip().partition("\n")[0])
    hint = "Is it running, and has `chatkpi init` been run? This server goes on trying."
    return ApiError(503, "unavailable", "The database cannot be reached.", RETRY, hint=hint)


def from_database(error: psycopg.Error) -> ApiError:
    """Translate an error of the database: a refused question, a slow one, or trouble."""
    state, diag = error.sqlstate or "", error.diag
    if state.startswith(("KP", "22")):
        return of_question(
            state, diag.constraint_name or "", diag.message_primary or "", diag.message_hint
        )
    if state == "57014":
        hint = "Ask for a shorter range or fewer groups."
        return ApiError(503, "too_slow", "The answer took too long.", RETRY, hint=hint)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or state == "3F000":
        return unavailable(error)
    return internal(error)
