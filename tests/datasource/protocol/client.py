"""A client of a server within the test's own process."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from datasource.protocol import tokens
from datasource.protocol.app import create_app
from tests.agreement import installed
from tests.conftest import Databases

NOW = "2027-06-01T00:00:00Z"
MARCH = {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}


class Client:
    """Sends requests to a server of its own; `headers` go with each."""

    def __init__(self, url: str, connection: Any) -> None:
        self.url, self.connection = url, connection
        self.http: FlaskClient = create_app(url).test_client(use_cookies=False)
        self.headers = self.token(None)

    def token(self, tenants: Sequence[str] | None) -> dict[str, str]:
        """Make a token and return the header that carries it."""
        count = len(tokens.listed(self.connection))
        return {"Authorization": f"Bearer {tokens.create(self.connection, f't{count}', tenants)}"}

    def post(self, path: str, body: object, **more: Any) -> TestResponse:
        """Send a JSON body."""
        return self.http.post(path, **{"json": body, "headers": self.headers, **more})

    def get(self, path: str, **more: Any) -> TestResponse:
        """Ask for a path."""
        return self.http.get(path, **{"headers": self.headers, **more})

    def rows(self, body: object, **more: Any) -> Any:
        """Return the rows of a question, which must be answered."""
        answer = self.post("/rows", body, **more)
        assert answer.status_code == 200, answer.text
        return answer.json


def served(
    database: Databases,
    records: Iterable[dict[str, Any]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    now: str = NOW,
) -> Client:
    """Load records into a new database and serve it."""
    monkeypatch.setenv("CHATKPI_NOW", now)
    url, connection = installed(database, records, folder, now)
    return Client(url, connection)
