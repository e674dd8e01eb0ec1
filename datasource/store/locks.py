"""Whether the server has room for the locks of a refresh.

Each table that a refresh makes is locked until it ends: with its index and its TOAST table four
locks a slice, one more for the public view that moves on to it, and some for facts and views.
PostgreSQL's own settings give room for several times as many slices as large data need.
"""

from math import ceil

from datasource.store.connection import Connection, run

LOCKS_A_SLICE, OTHER_LOCKS = 5, 1_000
SETTINGS = """
SELECT current_setting('max_locks_per_transaction')::integer,
    current_setting('max_connections')::integer
        + current_setting('max_prepared_transactions')::integer,
    (SELECT count(*) FROM kpi_admin.slice)"""


def advice(connection: Connection, *, failed: bool = False) -> str:
    """Return what to set when a refresh of all slices may find no room, nothing when it does.

    failed: a refresh has found none, whatever is worked out here.
    """
    [(each, sessions, slices)] = run(connection, SETTINGS).fetchall()
    needed = OTHER_LOCKS + LOCKS_A_SLICE * slices
    if needed <= each * sessions and not failed:
        return ""
    ample = max(2 * each, ceil(2 * needed / sessions))
    return f"set max_locks_per_transaction = {ample} (it is {each}) and restart PostgreSQL"
