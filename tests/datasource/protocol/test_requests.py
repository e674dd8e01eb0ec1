"""The functions that the server calls: which faults they turn into refusals, and what they call by name."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from datasource.protocol import tokens
from datasource.protocol.answers import POSTS
from tests.agreement import installed
from tests.conftest import Databases
from tests.datasource.protocol.client import MARCH, NOW
from tests.datasource.protocol.conftest import RECORDS

Connection = psycopg.Connection[Any]
ASKED = Jsonb(
    [{"kpis": ["messages"], "shape": "total", "starts": MARCH["from"], "ends": MARCH["to"]}]
)
KEYS = "SELECT * FROM kpi_http.keys(%s, %s)"
ANSWERS = "SELECT * FROM kpi_http.answers(%s, 'rows', %s)"
# What the functions that do the work raise in its place.
FAULT = """
CREATE OR REPLACE FUNCTION kpi_http.fields(asked jsonb) RETURNS kpi_http.question LANGUAGE plpgsql STABLE AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = '{state}', CONSTRAINT = 'told', MESSAGE = 'made to fail'; END $$"""


@pytest.fixture(scope="module")
def connection(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Connection:
    return installed(database, RECORDS, tmp_path_factory.mktemp("requests"), NOW)[1]


@pytest.fixture(scope="module")
def token(connection: Connection) -> bytes:
    return tokens.digest(tokens.create(connection, "requests", None))


@pytest.mark.parametrize("statement", [KEYS, ANSWERS])
def test_a_question_is_refused_for_what_is_wrong_with_it_only(
    statement: str, connection: Connection, token: bytes
) -> None:
    """A deadlock, a cancelled statement or an end of memory is no fault of the question."""
    with connection.transaction(force_rollback=True):
        for state in ("KP404", "KP422", "22P02", "22003", "2201B"):
            connection.execute(FAULT.format(state=state).encode())
            [row] = connection.execute(statement.encode(), [token, ASKED]).fetchall()
            refusal = {"state": state, "code": "told", "message": "made to fail", "hint": ""}
            assert row[-1] == (None if statement == KEYS else refusal)
        for state in ("40P01", "40001", "53200", "57014", "54000", "42P01", "XX000"):
            connection.execute(FAULT.format(state=state).encode())
            with (
                pytest.raises(psycopg.Error, match="made to fail") as raised,
                connection.transaction(),
            ):
                connection.execute(statement.encode(), [token, ASKED])
            assert raised.value.sqlstate == state


def test_only_requests_are_called_by_name(connection: Connection, token: bytes) -> None:
    call = "SELECT kpi_http.answer_request(%s, %s, %s)"
    names = {name for (name,) in connection.execute("SELECT unnest(kpi_http.requests())")}
    assert len(names) == len(POSTS) - 2 + 1  # not /rows and /query, but the page
    assert connection.execute(call, [token, "tag_keys", Jsonb({})]).fetchall()
    others = {
        "rows",
        "list",
        "list_catalog",
        "read",
        "fields",
        "enter",
        "pg_sleep",
        "search(null) --",
    }
    functions = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'kpi_http'::regnamespace"
    )
    for name in (others | {name for (name,) in functions}) - names:
        with pytest.raises(psycopg.errors.UndefinedFunction, match="there is no request"):
            connection.execute(call, [token, name, Jsonb({})])
