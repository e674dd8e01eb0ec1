"""init, load, refresh, login and token: the commands that write to a database."""

import sys
import time
from argparse import ArgumentTypeError, Namespace
from datetime import UTC, datetime

import psycopg

from datasource.catalog import Catalog
from datasource.protocol import tokens
from datasource.protocol.database import Connection
from datasource.store import locks
from datasource.store.connection import connect
from datasource.store.errors import StoreError
from datasource.store.forget import forget as forget_contact
from datasource.store.load import Counts
from datasource.store.load import load as load_records
from datasource.store.migrate import init as set_up
from datasource.store.refresh import refresh as bring_up_to_date

BAR_CHARACTERS = 40
MEGABYTE = 1 << 20


def init(_given: Namespace) -> None:
    """Create or migrate schema, views and roles; safe to repeat."""
    with connect() as connection:
        set_up(connection, Catalog.read())
        if advice := locks.advice(connection):
            print("chatkpi: a refresh may find too few locks:", advice, file=sys.stderr)


def load(given: Namespace) -> int:
    """Load records."""
    with connect(autocommit=True) as connection:
        counts = load_files(connection, given.paths)
    print("taken {}, already had {}, set aside {}".format(*counts))
    return 1 if counts.set_aside else 0


def load_files(connection: Connection, paths: list[str]) -> Counts:
    """Load files, with a bar on a terminal."""
    is_terminal = sys.stderr.isatty()

    def erase_bar() -> None:
        if is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def draw_bar(done: int, total: int) -> None:
        if is_terminal:
            erase_bar()
            bar = "#" * (BAR_CHARACTERS * done // max(total, 1))
            print(
                f"[{bar:{BAR_CHARACTERS}}] {done // MEGABYTE} MB",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def report(line: str) -> None:
        erase_bar()
        print(line, file=sys.stderr, flush=True)

    counts = load_records(connection, paths, on_progress=draw_bar, err=report)
    erase_bar()
    return counts


def forget(given: Namespace) -> None:
    """Take a contact's data out of every table."""
    with connect(autocommit=True) as connection:
        print(f"forgot {forget_contact(connection, given.tenant, given.contact)} events")


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
    """Create, list or revoke access tokens."""
    {"create": _create_token, "list": _list_tokens, "revoke": _revoke_token}[given.action](given)


def _create_token(given: Namespace) -> None:
    """Create a token, and print it."""
    is_limited = bool(given.tenant)
    if given.name is None or is_limited == given.all:
        raise ArgumentTypeError("create takes NAME, and --tenant T… or --all")
    expires = datetime.fromisoformat(given.expires) if given.expires else None
    if expires and not expires.tzinfo:
        expires = expires.replace(tzinfo=UTC)
    if expires and expires <= datetime.now(UTC):
        raise ArgumentTypeError("--expires is in the future")
    with connect(autocommit=True) as connection:
        print(tokens.create(connection, given.name, given.tenant, expires))


def _list_tokens(given: Namespace) -> None:
    """Print a line for each token."""
    if given.name is not None or _has_create_options(given):
        raise ArgumentTypeError("list takes nothing else")
    with connect(autocommit=True) as connection:
        for known in tokens.listed(connection):
            sees = "all tenants" if known.tenants is None else ", ".join(known.tenants)
            times = f"expires {known.expires_at or 'never'}"
            if known.revoked_at:
                times += f"\trevoked {known.revoked_at}"
            print(f"{known.name}\t{sees}\t{times}")


def _revoke_token(given: Namespace) -> None:
    """Revoke a token."""
    if given.name is None or _has_create_options(given):
        raise ArgumentTypeError("revoke takes NAME, and nothing else")
    with connect(autocommit=True) as connection:
        tokens.revoke(connection, given.name)


def _has_create_options(given: Namespace) -> bool:
    """Say whether there are options that only `create` has."""
    return bool(given.tenant or given.all or given.expires)
