"""Who owns the product's objects, and who may do what with them.

Everything belongs to one role, which need not be a superuser: it owns the database, and may
create roles or finds `kpi_reader` and `kpi_server` there. Functions that run with its rights are
all that readers and the server reach.
"""

from psycopg import sql

from datasource.store.connection import Connection
from datasource.store.errors import StoreError

SCHEMAS = (
    *("kpi", "kpi_data", "kpi_admin", "kpi_fact"),
    *("kpi_hits", "kpi_slice", "kpi_retired", "kpi_http"),
    *("kpi_next", "kpi_next_hits"),
)
# Temporary objects come last, so that none can stand for a table, view or type of PostgreSQL.
SAFE_PATH = "pg_catalog, pg_temp"

# Roles are the whole cluster's: another database's `init` may make them at the same moment.
ROLES = """
DO $$
BEGIN
    IF to_regrole('kpi_reader') IS NULL THEN
        CREATE ROLE kpi_reader NOLOGIN;
    END IF;
    IF to_regrole('kpi_server') IS NULL THEN
        CREATE ROLE kpi_server LOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'this login may not create the roles kpi_reader and kpi_server',
            HINT = 'as a superuser: CREATE ROLE kpi_reader; CREATE ROLE kpi_server LOGIN;';
END
$$;
-- Earlier versions let the server's login read the views as any reader does.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_auth_members AS m
        WHERE m.roleid = to_regrole('kpi_reader') AND m.member = to_regrole('kpi_server')
    ) THEN
        REVOKE kpi_reader FROM kpi_server;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'kpi_server is a member of kpi_reader, and this login may not change that',
            HINT = 'as a superuser: REVOKE kpi_reader FROM kpi_server;';
END
$$;
"""
# `kpi_http` gives the server's login the functions that it may call; those alone.
GRANTS = """
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA kpi_admin, kpi FROM PUBLIC, kpi_reader, kpi_server;
REVOKE ALL ON ALL TABLES
    IN SCHEMA kpi, kpi_data, kpi_admin, kpi_fact, kpi_hits, kpi_slice, kpi_retired, kpi_http,
        kpi_next, kpi_next_hits
    FROM PUBLIC, kpi_reader, kpi_server;
REVOKE ALL ON SCHEMA kpi, kpi_data, kpi_admin, kpi_fact, kpi_hits, kpi_slice, kpi_retired,
    kpi_next, kpi_next_hits
    FROM PUBLIC, kpi_reader, kpi_server;
GRANT USAGE ON SCHEMA kpi TO kpi_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA kpi TO kpi_reader;
-- A view that a refresh makes anew is as readable as the one before.
ALTER DEFAULT PRIVILEGES IN SCHEMA kpi GRANT SELECT ON TABLES TO kpi_reader;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kpi TO kpi_reader;
-- A view's functions run with its reader's rights; without USAGE on the schema nobody can call
-- them by name.
GRANT EXECUTE ON FUNCTION
    kpi_admin.visible_tenant_numbers(), kpi_admin.month_values(text), kpi_admin.freshness()
    TO kpi_reader;
"""
# Nothing here needs temporary objects but the owner, nor a schema in which everybody may create.
CLOSE_DATABASE = """
DO $$
BEGIN
    IF pg_has_role(current_user, (SELECT d.datdba FROM pg_catalog.pg_database AS d
        WHERE d.datname = current_database()), 'USAGE')
    THEN
        EXECUTE format(
            'REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC, kpi_reader, kpi_server',
            current_database());
    END IF;
    IF pg_has_role(current_user, (SELECT n.nspowner FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname = 'public'), 'USAGE')
    THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC, kpi_reader, kpi_server;
    END IF;
END
$$;
"""
OWNERS = """
SELECT n.nspname, n.nspowner::regrole::text FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = ANY (%s) ORDER BY n.nspname <> 'kpi_admin', n.nspname
"""
ME = """
SELECT current_user::text, r.rolsuper, d.datdba::regrole::text, o.rolsuper
FROM pg_catalog.pg_roles AS r,
    pg_catalog.pg_database AS d JOIN pg_catalog.pg_roles AS o ON o.oid = d.datdba
WHERE r.rolname = current_user AND d.datname = current_database()
"""


def create_roles(connection: Connection) -> None:
    """Create the roles kpi_reader and kpi_server, unless they are there."""
    connection.execute(ROLES.encode())


def act_as_owner(connection: Connection) -> None:
    """Be the role to which everything is to belong, until the transaction ends.

    It is the one that runs this; for a superuser the database's owner, so that no function runs
    with a superuser's rights. Raises StoreError when a schema of ours belongs to another role,
    who could put into it what it likes.
    """
    [(me, is_superuser, owner, owner_is_superuser)] = connection.execute(ME.encode())
    there = connection.execute(OWNERS.encode(), [list(SCHEMAS)]).fetchall()
    if (
        is_superuser
        and owner != me
        and not owner_is_superuser
        and (not there or there[0][1] == owner)
    ):
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner.strip('"'))))
        me = owner
    strangers = [f"{schema} to {role}" for schema, role in there if role != me]
    if strangers:
        raise StoreError(
            f"this login is {me}, but some schemas belong to others: {', '.join(strangers)}",
            "run chatkpi init as the role that owns them, or drop what is not the product's",
        )


def grant(connection: Connection) -> None:
    """Give readers and the server the rights that they need, and take all others from them."""
    connection.execute(GRANTS.encode())
    connection.execute(CLOSE_DATABASE.encode())
