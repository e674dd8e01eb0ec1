"""init, load, refresh, login and token: the commands that write to a database."""

import sys
import time
from argparse import ArgumentTypeError, Namespace
from datetime import UTC, datetime
from functools import partial

import psycopg

from datasource.catalog import Catalog
from datasource.cli.options import Commands, command, moment, positive
from datasource.protocol import tokens
from datasource.protocol.database import Connection
from datasource.store.connection import connect
from datasource.store.errors import StoreError
from datasource.store.load import Counts, load
from datasource.store.migrate import init
from datasource.store.refresh import refresh


def add(commands: Commands) -> None:
    """Add the commands of this module."""
    command(commands, "init", _init, "create or migrate schema, views and roles; safe to repeat")
    loading = command(commands, "load", _load, "load records", failed=2)
    loading.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, - for stdin")
    fresh = command(commands, "refresh", _refresh, "bring every materialized view up to date")
    fresh.add_argument("--full", action="store_true", help="compute everything anew")
    fresh.add_argument("--watch", type=positive, metavar="SECONDS", help="keep doing it")
    login = command(commands, "login", _login, "tie an SQL login to a tenant, whose rows it sees")
    login.add_argument("action", choices=["tie"])
    login.add_argument("login", metavar="LOGIN")
    login.add_argument("tenant", metavar="TENANT")
    token = command(commands, "token", _token, "make, list or revoke access tokens")
    token.add_argument("action", choices=["create", "list", "revoke"])
    token.add_argument("name", nargs="?", metavar="NAME")
    token.add_argument("--tenant", action="append", metavar="T", help="may be given several times")
    token.add_argument("--all", action="store_true", help="all tenants, those to come too")
    token.add_argument("--expires", type=moment, metavar="DATE", help="a date (UTC) or a time")


def _init(_given: Namespace) -> None:
    with connect() as connection:
        init(connection, Catalog.read())


def _load(given: Namespace) -> int:
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

    counts = load(connection, paths, on_progress=draw, err=lambda line: say(f"{clear}{line}\n"))
    say(clear)
    return counts


def _refresh(given: Namespace) -> None:
    while True:
        try:
            with connect(autocommit=True) as connection:
                report = refresh(connection, Catalog.read(), full=given.full)
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


def _login(given: Namespace) -> None:
    statement = "INSERT INTO kpi_admin.login VALUES (%s, %s) ON CONFLICT DO NOTHING"
    with connect() as connection:
        connection.execute(statement, [given.login, given.tenant])


def _token(given: Namespace) -> None:
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
