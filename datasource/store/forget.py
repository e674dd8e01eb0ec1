"""`chatkpi forget`: a contact's data leave every table, and stay out.

What is the contact's: every event that names it, whatever that says. Events of its conversations
that name no contact (what users and bots wrote) are the tenant's work and go on being counted, but
lose their free text and extra fields, unless another contact took part. Numbers follow at the next
refresh, which reads kpi_admin.erased_event.
"""

import json
import re

from datasource.store.connection import Connection
from datasource.store.contract import COLUMNS
from datasource.store.forgotten import hashed, mentions
from datasource.store.standing import note_change
from datasource.store.turns import Say, tell, turn

# The columns of what is deleted are all that the later statements need of it.
TAKE_EVENTS = """
WITH gone AS (
    DELETE FROM kpi_data.event WHERE tenant_no = %s AND contact = %s
    RETURNING experience, conversation
)
SELECT (SELECT count(*) FROM gone),
    ARRAY(SELECT DISTINCT experience FROM gone WHERE experience IS NOT NULL),
    ARRAY(SELECT DISTINCT conversation FROM gone WHERE conversation IS NOT NULL)
"""
TAKE_FACTS = """
WITH gone AS (
    DELETE FROM kpi_fact.event WHERE contact_no = %s
    RETURNING kind, day, contact_no, conversation_no
)
INSERT INTO kpi_admin.erased_event SELECT kind, day, contact_no, conversation_no FROM gone
"""
# What others wrote in conversations that nobody else's contact is in.
CLEAR_TEXTS = """
UPDATE kpi_data.event AS e SET text = NULL, extra = NULL
WHERE e.tenant_no = %(tenant_no)s AND e.contact IS NULL
    AND (e.text IS NOT NULL OR e.extra IS NOT NULL)
    AND e.conversation = ANY (%(conversations)s) AND NOT EXISTS (
        SELECT FROM kpi_data.event AS other WHERE other.tenant_no = e.tenant_no
            AND other.conversation = e.conversation AND other.contact IS NOT NULL
    )
"""
# Extra fields of records about something else, which may have the contact's id in them.
MENTIONS = """
SELECT ctid::text, extra::text FROM kpi_data."{table}"
WHERE tenant_no = %(tenant_no)s AND strpos(extra::text, %(inside)s::text) > 0
"""
CLEAR_MENTIONS = 'UPDATE kpi_data."{table}" SET extra = %s::jsonb WHERE ctid = %s::tid'
# What PostgreSQL's JSON says in one piece: a text, or a number.
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.]*')
# Numbers of conversations that have no event any more.
TAKE_CONVERSATIONS = """
DELETE FROM kpi_fact.conversation AS c
WHERE c.tenant_no = %(tenant_no)s AND c.conversation = ANY (%(conversations)s) AND NOT EXISTS (
    SELECT FROM kpi_data.event AS e
    WHERE e.tenant_no = c.tenant_no AND e.conversation = c.conversation
)
"""
# When experiences began, of those whose first event may be gone.
START_AGAIN = """
WITH gone AS (
    DELETE FROM kpi_fact.experience_start
    WHERE tenant_no = %(tenant_no)s AND experience = ANY (%(experiences)s)
)
SELECT tenant_no, experience, min(at) FROM kpi_fact.event
WHERE tenant_no = %(tenant_no)s AND experience = ANY (%(experiences)s)
GROUP BY tenant_no, experience
"""
# Facts by earlier definitions, which stand until the slices made from them are gone.
OLD_FACTS = """
SELECT c.oid::regclass::text
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'kpi_retired'::regnamespace AND c.relkind = 'r' AND a.attname = 'contact_no'
"""


def forget(connection: Connection, tenant: str, contact: str, say: Say = tell) -> int:
    """Take a contact of a tenant out of every table and keep it out; return how many events went.

    `connection` is in autocommit mode. Waits for loads and refreshes to end, and says for whom.
    Nothing is wrong with a contact or tenant of whom nothing is there.
    """
    with turn(connection, "load", say), turn(connection, "refresh", say), connection.transaction():
        [(key,)] = connection.execute("SELECT key FROM kpi_admin.forget_key")
        connection.execute(
            "INSERT INTO kpi_admin.forgotten VALUES (%s) ON CONFLICT DO NOTHING",
            [hashed(key, tenant, contact)],
        )
        _take_set_aside(connection, tenant, contact)
        number = connection.execute(
            "SELECT tenant_no FROM kpi_data.tenant_number WHERE tenant = %s", [tenant]
        ).fetchone()
        return _take_records(connection, number[0], contact) if number else 0


def _take_records(connection: Connection, tenant_no: int, contact: str) -> int:
    [(count, experiences, conversations)] = connection.execute(
        TAKE_EVENTS.encode(), [tenant_no, contact]
    )
    known = {
        "tenant_no": tenant_no,
        "contact": contact,
        "experiences": experiences,
        "conversations": conversations,
    }
    connection.execute(CLEAR_TEXTS.encode(), known)
    _clear_mentions(connection, tenant_no, contact)
    number = connection.execute(
        "DELETE FROM kpi_fact.contact WHERE tenant_no = %s AND contact = %s RETURNING contact_no",
        [tenant_no, contact],
    ).fetchone()
    if number:
        _take_numbered(connection, number[0])
    connection.execute(TAKE_CONVERSATIONS.encode(), known)
    for start in connection.execute(START_AGAIN.encode(), known).fetchall():
        connection.execute("INSERT INTO kpi_fact.experience_start VALUES (%s, %s, %s)", start)
    # Answers that servers keep are of a generation.
    connection.execute("UPDATE kpi_admin.state SET generation = generation + 1")
    note_change(connection)
    return int(count)


def _clear_mentions(connection: Connection, tenant_no: int, contact: str) -> None:
    """Put a word in place of the contact's id wherever it is a whole text or number of a field."""
    as_text = json.dumps(contact, ensure_ascii=False)

    def cleared(piece: re.Match[str]) -> str:
        return '"forgotten"' if _means(piece[0], contact) else piece[0]

    for table in COLUMNS:
        with connection.cursor(name="mentions") as mentioning:
            given = {"tenant_no": tenant_no, "inside": as_text[1:-1]}
            mentioning.execute(MENTIONS.format(table=table).encode(), given)
            for place, extra in mentioning:
                clear = PIECE.sub(cleared, extra)
                if clear != extra:
                    statement = CLEAR_MENTIONS.format(table=table).encode()
                    connection.execute(statement, [clear, place])


def _means(piece: str, contact: str) -> bool:
    """Say whether a text or number of JSON is the contact's id."""
    if piece.startswith('"'):
        return bool(json.loads(piece) == contact)
    return (piece.rstrip("0").rstrip(".") if "." in piece else piece) == contact


def _take_numbered(connection: Connection, contact_no: int) -> None:
    """Take what the contact's number stands in."""
    connection.execute(TAKE_FACTS.encode(), [contact_no])
    for (table,) in connection.execute(OLD_FACTS.encode()).fetchall():
        connection.execute(f"DELETE FROM {table} WHERE contact_no = %s".encode(), [contact_no])


def _take_set_aside(connection: Connection, tenant: str, contact: str) -> None:
    """Take lines that were set aside and may tell of the contact."""
    with connection.cursor(name="lines") as lines:
        lines.execute("SELECT ctid::text, raw FROM kpi_admin.set_aside")
        found = [place for place, raw in lines if mentions(raw, tenant, contact)]
    connection.execute("DELETE FROM kpi_admin.set_aside WHERE ctid = ANY (%s::tid[])", [found])
