"""setup: what containers need before they start: passwords in files, the database, a token."""

import os
import secrets
import sys
import tempfile
from argparse import Namespace
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from datasource.catalog import Catalog
from datasource.cli.database import load_files
from datasource.demo import lines
from datasource.protocol import tokens
from datasource.protocol.database import Connection
from datasource.store.connection import connect
from datasource.store.errors import StoreError
from datasource.store.migrate import init
from datasource.store.refresh import refresh

SQL_LOGIN = "grafana"
TOKEN_NAME = "grafana"
TOKEN = Path("grafana/token")


class Key(NamedTuple):
    """A password's file below the folder, and the variable that may give it at the first start.

    `login`: the file is one that libpq reads (`passfile`), of this login; nobody else may read it.
    """

    file: str
    variable: str
    login: str = ""


KEYS = (
    Key("database/superuser", "CHATKPI_SUPERUSER_PASSWORD"),
    Key("database/owner", "CHATKPI_OWNER_PASSWORD"),
    Key("owner/pgpass", "CHATKPI_OWNER_PASSWORD", "chatkpi"),
    Key("server/password", "CHATKPI_SERVER_PASSWORD"),
    Key("server/pgpass", "CHATKPI_SERVER_PASSWORD", "kpi_server"),
    Key("grafana/admin", "CHATKPI_GRAFANA_PASSWORD"),
    Key("grafana/sql", "CHATKPI_PG_PASSWORD"),
)


def setup(given: Namespace) -> None:
    """Do one of the steps of a start in containers; each is safe to repeat."""
    {"keys": make_keys, "database": set_up_database}[given.step](Path(given.folder))


def make_keys(folder: Path) -> None:
    """Write each password that is not there: the one given in the environment, or a new one.

    Keys of one variable are one password. A file that is there is never changed. Raises StoreError
    for a password that another was given for before.
    """
    kept = {
        key.variable: (folder / key.file).read_text(encoding="utf-8").strip()
        for key in KEYS
        if not key.login and (folder / key.file).is_file()
    }
    for key in KEYS:
        wanted = os.environ.get(key.variable, "")
        if wanted and kept.get(key.variable, wanted) != wanted:
            words = f"{key.variable} is not the password of the first start"
            raise StoreError(words, "it stands in the volumes; change it there and in the database")
        password = kept.setdefault(key.variable, wanted or secrets.token_urlsafe(24))
        path = folder / key.file
        if not path.is_file():
            # Another service, of another user, reads those that are no passfile.
            text = _passfile(key.login, password) if key.login else password
            _write(path, text, 0o600 if key.login else 0o444)


def _passfile(login: str, password: str) -> str:
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:{login}:{escaped}"


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{text}\n")
    part.chmod(mode)
    part.replace(path)


def set_up_database(folder: Path) -> None:
    """Set the database up: its roles' passwords, demo data when it is new, Grafana's token."""
    catalog = Catalog.read()
    with connect(autocommit=True) as connection:
        init(connection, catalog)
        _password(connection, "kpi_server", _kept(folder / "server/password"))
        _sql_login(connection, _kept(folder / "grafana/sql"))
        if _load_demo(connection):
            refresh(connection, catalog)
        connection.execute(
            "INSERT INTO kpi_admin.login SELECT %s, tenant FROM kpi_data.tenant_number"
            " ON CONFLICT DO NOTHING",
            [SQL_LOGIN],
        )
        _token(connection, folder / TOKEN)


def _kept(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StoreError(f"{path} cannot be read", "run chatkpi setup keys") from error


def _password(connection: Connection, role: str, password: str) -> None:
    """Give a role a password, which is in no log: the database gets what it keeps of it."""
    hashed = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(hashed)))


def _sql_login(connection: Connection, password: str) -> None:
    with suppress(psycopg.errors.DuplicateObject):
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(SQL_LOGIN)))
    connection.execute(sql.SQL("GRANT kpi_reader TO {}").format(sql.Identifier(SQL_LOGIN)))
    _password(connection, SQL_LOGIN, password)


def _load_demo(connection: Connection) -> bool:
    """Load made-up records into a database that never had any; return whether it did."""
    try:
        events = int(os.environ.get("CHATKPI_DEMO_EVENTS") or 0)
    except ValueError:
        raise StoreError("CHATKPI_DEMO_EVENTS is no number") from None
    [(is_new,)] = connection.execute("SELECT NOT EXISTS (SELECT FROM kpi_admin.load)")
    if events < 1 or not is_new:
        return False
    with tempfile.NamedTemporaryFile(suffix=".ndjson") as file:
        until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        file.writelines(lines(events=events, until=until))
        file.flush()
        load_files(connection, [file.name])
    return True


def _token(connection: Connection, path: Path) -> None:
    """See to it that the file holds a token that is in force."""
    kept = tokens.digest(_kept(path)) if path.is_file() else None
    in_force = connection.execute(
        "SELECT token.hash FROM kpi_admin.token AS token "
        "WHERE token.name = %s AND kpi_admin.is_in_force(token)",
        [TOKEN_NAME],
    ).fetchall()
    if in_force == [(kept,)]:
        return
    if in_force:
        tokens.revoke(connection, TOKEN_NAME)
    _write(path, tokens.create(connection, TOKEN_NAME, None), 0o444)
    print(f"a new token for Grafana is in {path}", file=sys.stderr)
