"""What stands in the database, and whether it is as it should be.

Views and indexes that stand as a schema file would make them are left alone: to make them again
would lock them against everybody who reads them, or writes to their tables.
"""

import re
from hashlib import md5

from datasource.store.connection import Connection

VIEW = re.compile(
    r"^CREATE OR REPLACE VIEW (kpi(?:_admin)?\.\w+) AS\n.*?;\n", re.DOTALL | re.MULTILINE
)
INDEX = re.compile(r"^CREATE INDEX IF NOT EXISTS (\w+) ON (\w+)\.[^;]*;\n", re.MULTILINE)
STANDS = """
SELECT EXISTS (
    SELECT FROM kpi_admin.made_view AS m WHERE m.view = %s AND m.statement = %s
        AND m.definition = md5(pg_get_viewdef(to_regclass(m.view)))::uuid
)
"""
NOTE = """
INSERT INTO kpi_admin.made_view SELECT %s, %s, md5(pg_get_viewdef(to_regclass(%s)))::uuid
ON CONFLICT (view) DO UPDATE SET statement = excluded.statement, definition = excluded.definition
"""


def left_to_do(connection: Connection, text: str) -> str:
    """Return a schema file's text without the statements that would change nothing."""
    [(is_noted,)] = connection.execute("SELECT to_regclass('kpi_admin.made_view') IS NOT NULL")

    def view(found: re.Match[str]) -> str:
        if not is_noted:
            return found[0]
        [(stands,)] = connection.execute(STANDS, [found[1], _fingerprint(found[0])])
        return "" if stands else found[0]

    def index(found: re.Match[str]) -> str:
        name = f"{found[2]}.{found[1]}"
        [(stands,)] = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        return "" if stands else found[0]

    return INDEX.sub(index, VIEW.sub(view, text))


def note(connection: Connection, text: str) -> None:
    """Note the views of a schema file as they stand after it."""
    for found in VIEW.finditer(text):
        connection.execute(NOTE, [found[1], _fingerprint(found[0]), found[1]])


def _fingerprint(statement: str) -> str:
    return md5(statement.encode(), usedforsecurity=False).hexdigest()


# Slices that somebody dropped, and such as nothing points to: their KPIs are built anew.
HEAL = """
WITH gone AS (
    DELETE FROM kpi_admin.slice AS s WHERE to_regclass(format('kpi_slice.%I', s.relation)) IS NULL
    RETURNING s.kpi_id
), lost AS (
    INSERT INTO kpi_admin.retired_slice (relation)
    SELECT c.relname FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'kpi_slice'::regnamespace AND c.relkind = 'm'
        AND c.relname NOT IN (SELECT s.relation FROM kpi_admin.slice AS s)
        AND c.relname NOT IN (SELECT r.relation FROM kpi_admin.retired_slice AS r)
    RETURNING regexp_replace(relation, '_[0-9]{4}_[0-9]{2}_[0-9]+$', '') AS kpi_id
)
UPDATE kpi_admin.kpi SET stale = true
WHERE NOT stale AND kpi_id IN (SELECT kpi_id FROM gone UNION SELECT kpi_id FROM lost)
"""
# Facts and views of hits that somebody dropped: their definitions count as changed.
LOST_DEFINITIONS = """
DELETE FROM kpi_admin.fact AS f WHERE to_regclass(format('kpi_fact.%I', f.fact)) IS NULL;
UPDATE kpi_admin.kpi AS k SET form = ''
WHERE k.fold <> 'ratio' AND to_regclass(format('kpi_hits.%I', k.kpi_id)) IS NULL
"""


def heal_slices(connection: Connection) -> None:
    """Have the next refresh build the slices, and rows of slices, that somebody took away."""
    connection.execute(HEAL.encode())


def heal_definitions(connection: Connection) -> None:
    """Have the next refresh make the facts and views that somebody took away; for `init`."""
    connection.execute(LOST_DEFINITIONS.encode())


def note_change(connection: Connection) -> None:
    """Note that the next refresh has something to follow."""
    connection.execute(
        "INSERT INTO kpi_admin.changed DEFAULT VALUES "
        "ON CONFLICT (one) DO UPDATE SET changed_at = excluded.changed_at"
    )
