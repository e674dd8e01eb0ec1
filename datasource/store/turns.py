"""Turns: loads queue behind one another, refreshes too; `init` and `forget` wait for both.

A turn is a lock on a view that nobody but the owner has a right on, so that no other login can
hold it. A connection of its own holds it in one transaction, which needs no snapshot and thus
keeps VACUUM from nothing; a view, for VACUUM and pg_dump lock tables.
"""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from datasource.store.connection import Connection
from datasource.store.errors import StoreError
from datasource.store.rights import SCHEMAS

TURNS = {"load": "turn_to_load", "refresh": "turn_to_refresh"}
SETTINGS = ("idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout")
# Since when is only for those who may see it (pg_read_all_stats): else the time is left out.
SESSION = """
SELECT format('pid %%s (login %%s, application %%s%%s)', a.pid, a.usename,
    coalesce(nullif(a.application_name, ''), 'unknown'), ', since ' || a.xact_start::timestamptz(0))
FROM pg_catalog.pg_stat_activity AS a
"""
HOLDERS = f"""{SESSION} WHERE a.pid IN (
    SELECT l.pid
    FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_database AS d ON d.oid = l.database
    WHERE l.relation = %s::regclass AND l.granted AND d.datname = current_database()
) ORDER BY a.pid"""

# Who has a lock on a relation of ours, other than a turn.
READERS = f"""{SESSION} WHERE a.pid <> pg_backend_pid() AND a.pid IN (
    SELECT l.pid FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = current_database()
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    WHERE l.granted AND c.relnamespace::regnamespace::text = ANY (%s) AND c.relname <> ALL (%s)
) ORDER BY a.pid"""
# Readers queue behind who waits for a lock, so each wait is short, and there is a pause after it.
LOCK_TIMEOUT, PAUSE_SECONDS, ATTEMPTS = "1s", 1.0, 20

Say = Callable[[str], None]


def tell(line: str) -> None:
    """Print a line on standard error."""
    print(f"chatkpi: {line}", file=sys.stderr, flush=True)


def create(connection: Connection) -> None:
    """Create what is locked, unless it is there."""
    for name in TURNS.values():
        view = f"kpi_admin.{name}"
        if connection.execute("SELECT to_regclass(%s)", [view]).fetchone() == (None,):
            connection.execute(
                f"CREATE VIEW {view} AS SELECT 'locked by whose turn it is'::text AS use".encode()
            )


@contextmanager
def turn(connection: Connection, name: str, say: Say = tell) -> Generator[Callable[[], None]]:
    """Wait until it is this process's turn to `load` or `refresh`, and hold the turn.

    `connection` tells the database and login. Says who is waited for. Gives a function that raises
    StoreError when the turn has been lost, with its connection.
    """
    info = connection.info
    address = make_conninfo(
        info.dsn, password=info.password, application_name=f"chatkpi {name}", connect_timeout="10"
    )
    view = sql.Identifier("kpi_admin", TURNS[name])
    holder = psycopg.connect(address)

    def assert_held() -> None:
        try:
            holder.execute("SELECT 1")
        except psycopg.OperationalError:
            raise StoreError(
                f"the connection that held the turn to {name} was ended", "run it again"
            ) from None

    try:
        for setting in SETTINGS:
            holder.execute("SELECT pg_catalog.set_config(%s, '0', false)", [setting])
        holder.commit()
        lock = sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(view)
        try:
            holder.execute(lock + sql.SQL(" NOWAIT"))
        except psycopg.errors.LockNotAvailable:
            holder.rollback()
            others = holder.execute(HOLDERS.encode(), [view.as_string(holder)]).fetchall()
            holder.commit()
            if others:
                say(f"waiting for its turn to {name}, behind {', '.join(who for (who,) in others)}")
            holder.execute(lock)
        yield assert_held
    finally:
        holder.close()


def patiently(connection: Connection, work: Callable[[], None], say: Say = tell) -> None:
    """Do work in a transaction that locks tables and views against readers, as soon as it can.

    Tries again while somebody reads them, says who, and raises StoreError in the end, which names
    them. `connection` is in autocommit mode.
    """
    told = ""
    for _ in range(ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
                work()
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            found = connection.execute(
                READERS.encode(), [list(SCHEMAS), list(TURNS.values())]
            ).fetchall()
            others = ", ".join(who for (who,) in found) or "somebody who has ended meanwhile"
            if others != told:
                say(f"waiting for {others}")
                told = others
            time.sleep(PAUSE_SECONDS)
    raise StoreError(
        f"tables or views to be changed are held by {told}",
        "end what they do, or them with SELECT pg_terminate_backend(PID), and run it again",
    )
