"""Access tokens: only their hash is kept, so nobody can read them back."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from datasource.store.errors import StoreError

Connection = psycopg.Connection[TupleRow]


class Token(NamedTuple):
    """A token's record; `tenants` None means all; times are instants."""

    name: str
    tenants: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def digest(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def create(
    connection: Connection, name: str, tenants: Sequence[str] | None, until: datetime | None = None
) -> str:
    """Make a token for some tenants (None: all) and return it, the only time it can be seen.

    Raises StoreError when the name belongs to a token that has not been revoked.
    """
    token = f"chatkpi_{secrets.token_urlsafe(32)}"
    given = [name, digest(token), None if tenants is None else list(tenants), until]
    kept = connection.execute("SELECT kpi_admin.keep_token(%s, %s, %s, %s)", given).fetchone()
    if kept != (True,):
        raise StoreError(f"there is a token {name}", "revoke it first, or choose another name")
    return token


def listed(connection: Connection) -> list[Token]:
    """Return every token ever made, by name."""
    columns = "name, tenants, created_at, expires_at, revoked_at"
    found = connection.execute(f"SELECT {columns} FROM kpi_admin.token ORDER BY name")
    return [Token(*row) for row in found]


def revoke(connection: Connection, name: str) -> None:
    """Make a token invalid from the next request on. Raises StoreError when there is none."""
    statement = (
        "UPDATE kpi_admin.token SET revoked_at = now() WHERE revoked_at IS NULL AND name = %s"
    )
    if not connection.execute(statement, [name]).rowcount:
        raise StoreError(f"there is no token {name}", "`chatkpi token list` shows them")
