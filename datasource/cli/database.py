"""init, load, refresh, login and token: the commands that write to a database."""

import sys
import time
from argparse import ArgumentTypeError, Namespace
from datetime import UTC, datetime
from functools import partial

import psycopg

from datasource.catalog import Catalog
from datasource.protocol import tokens
from datasource.protocol.database import Connection
from datasource.store.connection import connect
from datasource.store.errors import StoreError
from datasource.store.load import Counts
from datasource.store.load import load as load_records
from datasource.store.migrate import init as set_up
from datasource.store.refresh import refresh as bring_up_to_date


def init(_given: Namespace) -> None:
    """Create or migrate schema, views and roles; safe to repeat."""
    with connect() as connection:
        set_up(connection, Catalog.read())


def load(given: Namespace) -> int:
    """Load records."""
    with connect(autocommit=True) as connection:
        counts = load_files(connection, given.paths)
    print("taken {}, already had {}, set aside {}".format(*counts))
    return 1 if counts.set_aside else 0


def load_files(connection: Connection, paths: list[str]) -> Counts:
    """Load files, with a bar on a terminal."""
    say = partial(print, end="", file=sys.stderr, flush=True)
    clear = "\r\033[K" * sys.stderr.isatty()

    def draw(done: int, total: int) -> None:
        if clear:
            say(f"{clear}[{'#' * (40 * done // max(total, 1)):40}] {done >> 20} MB")

    def tell(line: str) -> None:
        say(f"{clear}{line}\n")

    counts = load_records(connection, paths, on_progress=draw, err=tell)
    say(clear)
    return counts


def refresh(given: Namespace) -> None:
    """Bring every materialized view up to date."""
    while True:
        try:
            with connect(autocommit=True) as connection:
                report = bring_up_to_date(connection, Catalog.read(), full=given.full)
            if report.slices or not given.watch:
                print(f"{report.events} new events, {report.slices} slices built", flush=True)
            given.full = False
        except (StoreError, psycopg.OperationalError) as error:
            if not given.watch:
                raise
            print("chatkpi:", " ".join(str(error).split()), file=sys.stderr)  # it may come back
        if not given.watch:
            return
        time.sleep(given.watch)


def login(given: Namespace) -> None:
    """Tie an SQL login to a tenant, whose rows it sees."""
    statement = "INSERT INTO kpi_admin.login VALUES (%s, %s) ON CONFLICT DO NOTHING"
    with connect() as connection:
        connection.execute(statement, [given.login, given.tenant])


def token(given: Namespace) -> None:
    """Make, list or revoke access tokens."""
    lists, creates = given.action == "list", given.action == "create"
    if lists != (given.name is None) or creates != (bool(given.tenant) != given.all):
        raise ArgumentTypeError("create NAME with --tenant T… or --all; list; revoke NAME")
    expires = datetime.fromisoformat(given.expires) if given.expires else None
    expires = expires and (expires if expires.tzinfo else expires.replace(tzinfo=UTC))
    if expires and (not creates or expires <= datetime.now(UTC)):
        raise ArgumentTypeError("--expires is for create, and in the future")
    with connect(autocommit=True) as connection:
        if creates:
            print(tokens.create(connection, given.name, given.tenant, expires))
        elif given.action == "revoke":
            tokens.revoke(connection, given.name)
        for t in tokens.listed(connection) if lists else []:
            sees = "all tenants" if t.tenants is None else ", ".join(t.tenants)
            print(f"{t.name}\t{sees}\texpires {t.expires_at}\trevoked {t.revoked_at}")
