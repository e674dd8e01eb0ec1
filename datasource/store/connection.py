"""Connections to the database that DATABASE_URL names."""

import os
from collections.abc import Mapping, Sequence

import psycopg
from psycopg.rows import TupleRow

from datasource.store import embedded
from datasource.store.checks import BadRecord, instant
from datasource.store.errors import StoreError

Connection = psycopg.Connection[TupleRow]
Parameters = Sequence[object] | Mapping[str, object] | None

EMBEDDED = "embedded:"
OLDEST = 150000
CONNECT_SECONDS = "10"


def database_url() -> str:
    """Return the address of the database, of the embedded one after starting it if need be.

    Raises StoreError when DATABASE_URL is not set or the embedded server does not start.
    """
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        raise StoreError(
            "DATABASE_URL is not set",
            "set it to postgresql://… or to embedded: for a PostgreSQL of its own",
        )
    return embedded.url() if url == EMBEDDED else url


def connect(url: str | None = None, *, autocommit: bool = False) -> Connection:
    """Connect to the database at `url`, else to the one of `database_url`.

    The session's time zone is UTC and its search path PostgreSQL's own schema; CHATKPI_NOW
    (RFC 3339), when set, is its setting `kpi.now`. Raises StoreError when there is no such
    database, it is older than PostgreSQL 15, or CHATKPI_NOW is no time.
    """
    now = fixed_now()
    try:
        connection = psycopg.connect(conninfo(url or database_url()), autocommit=True)
    except psycopg.OperationalError as error:
        raise StoreError(
            f"the database cannot be reached: {error}", "is it running, and DATABASE_URL right?"
        ) from None
    try:
        version = connection.info.server_version
        if version < OLDEST:
            needed = f"version {OLDEST // 10000} or later is needed"
            raise StoreError(f"PostgreSQL {version // 10000} is too old", needed)
        # Else whoever may create in `public`, or a schema named as this login, has its code run.
        connection.execute(
            "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false), "
            "pg_catalog.set_config('TimeZone', 'UTC', false)"
        )
        if now is not None:
            connection.execute("SELECT pg_catalog.set_config('kpi.now', %s, false)", [now])
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def run(
    connection: Connection, statement: str, parameters: Parameters = None
) -> psycopg.Cursor[TupleRow]:
    """Execute SQL that this package made, from definitions and quoted names; return the cursor.

    psycopg itself takes only statements that stand in the program as they are. Values that come
    from elsewhere are `parameters`, never part of the text.
    """
    return connection.execute(statement.encode(), parameters)


def conninfo(url: str) -> str:
    """Return an address as every connection here uses it. Raises StoreError when it is none."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
        wait = str(given.get("connect_timeout") or CONNECT_SECONDS)
        return psycopg.conninfo.make_conninfo(
            url, application_name="chatkpi", client_encoding="utf8", connect_timeout=wait
        )
    except psycopg.ProgrammingError:  # its message may hold the password
        raise StoreError(
            "DATABASE_URL is no address of a PostgreSQL database",
            "it looks like postgresql://user@host/database",
        ) from None


def fixed_now() -> str | None:
    """Return the time that CHATKPI_NOW sets, None when it is not set."""
    text = os.environ.get("CHATKPI_NOW", "")
    if not text:
        return None
    try:
        return instant(text)
    except BadRecord as error:
        raise StoreError(f"CHATKPI_NOW: {error}", "it looks like 2027-06-01T00:00:00Z") from None
