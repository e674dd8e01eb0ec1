"""serve and demo: the commands that put a server up."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from argparse import Namespace
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from zlib import crc32

from datasource.catalog import Catalog
from datasource.cli.database import load_files
from datasource.compile import literal
from datasource.demo import lines, tenants
from datasource.protocol import tokens
from datasource.protocol.database import Connection
from datasource.protocol.settings import Settings
from datasource.report.settings import ReportSettings
from datasource.store import embedded
from datasource.store.connection import connect, database_url
from datasource.store.errors import StoreError
from datasource.store.migrate import init
from datasource.store.refresh import refresh

START = monotonic()
HOST = "127.0.0.1"
# Which data set a demo put there, as a comment, and what throws it away.
KNOWN = """
SELECT obj_description(to_regnamespace('kpi_data'), 'pg_namespace'),
    'DROP SCHEMA ' || string_agg(nspname, ', ') || ' CASCADE'
FROM pg_catalog.pg_namespace WHERE nspname ~ '^kpi'"""
NUMBERS = """SELECT title, trim_scale(round(value, 1)) FROM kpi.catalog, kpi.total(kpi_id, \
now() - interval '30 days', now(), jsonb_build_object('tenant', '{}')) \
WHERE kpi_id IN ('sessions', 'leads', 'nps')"""
OLD = timedelta(days=7)  # the dashboards show the last 30
GUNICORN = "-m gunicorn -c python:datasource.protocol.worker"


def serve(given: Namespace) -> None:
    """Become gunicorn, which counts as this process to an embedded database."""
    database_url()
    try:
        Settings.of_environment()
        ReportSettings.of_environment()
    except ValueError as wrong:
        raise StoreError(str(wrong), "docs/server.md has the settings") from None
    _check_port(given.host, given.port)
    host = f"[{given.host}]" if ":" in given.host else given.host
    bind = ["--bind", f"{host}:{given.port}", "--workers", str(given.workers)]
    app = "datasource.protocol.app:create_app()"
    os.execv(sys.executable, [sys.executable, *GUNICORN.split(), *bind, app])


def _check_port(host: str, port: int) -> None:
    """Find out at once what gunicorn would try again and again."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()


def demo(given: Namespace) -> int:
    """Serve a made-up data set from an embedded database, kept up to date."""
    os.environ["DATABASE_URL"] = "embedded:"
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background has the first ignored
        signal.signal(number, signal.default_int_handler)
    _check_port(HOST, given.port)
    _say("starting PostgreSQL")
    with connect(autocommit=True) as connection:
        _fill(connection, given)
        words = _welcome(connection, given.port)
    program = [sys.executable, "-c", "from datasource.cli import main; raise SystemExit(main())"]
    serve = [*program, "serve", "--host", HOST, "--port", str(given.port), "--workers", "2"]
    watch = [*program, "refresh", "--watch", "5"]
    quiet = os.environ | {"CHATKPI_LOG": "warning"}
    with (
        subprocess.Popen(serve, env=quiet) as server,
        subprocess.Popen(watch, stdout=subprocess.DEVNULL) as refresher,
    ):
        try:
            while server.poll() is None and socket.socket().connect_ex((HOST, given.port)):
                sleep(0.1)
            if server.poll() is None:
                print(words, flush=True)
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            _say("stopping")
            server.terminate()
            refresher.terminate()
            server.wait()
            refresher.wait()
            embedded.release()


def _say(words: str) -> None:
    print(f"{monotonic() - START:4.0f} s  {words}", file=sys.stderr, flush=True)


def _fill(connection: Connection, given: Namespace) -> None:
    """Load the data set, unless it is there: of the same arguments and not too old."""
    catalog = Catalog.read()
    size = {"events": given.events, "seed": given.seed, "days": given.days}
    wanted = size | {"schema": crc32(b"".join(path.read_bytes() for path in catalog.schema))}
    [(note, drop)] = connection.execute(KNOWN)
    known = json.loads(note or "{}")
    until = datetime.fromisoformat(known.pop("until", "2000-01-01T00:00Z"))
    is_there = known == wanted and until > datetime.now(UTC) - OLD
    if drop and not is_there:
        found = connection.execute("SELECT tenant FROM kpi_data.tenant_number").fetchall()
        if {tenant for (tenant,) in found} - {*tenants()}:
            raise StoreError("the embedded database has other data", "name another CHATKPI_HOME")
        connection.execute(drop)
    init(connection, catalog)
    if is_there:
        return
    [(now,)] = connection.execute("SELECT date_trunc('hour', kpi_admin.now())")
    with tempfile.NamedTemporaryFile(suffix=".ndjson") as file:
        _say(f"making up {given.events} events")
        file.writelines(lines(**size, until=now))
        file.flush()
        _say("loading them")
        load_files(connection, [file.name])
    _say("building the views")
    refresh(connection, catalog)
    words = literal(json.dumps(wanted | {"until": now.isoformat()}))
    connection.execute(f"COMMENT ON SCHEMA kpi_data IS {words}".encode())


def _welcome(connection: Connection, port: int) -> str:
    """Say what to open, and numbers to see at once."""
    tenant = tenants()[0]
    query = NUMBERS.format(tenant)
    numbers = [
        f"  {title:10} {'-' if value is None else value:>10}"
        for title, value in connection.execute(query.encode())
    ]
    with suppress(StoreError):
        tokens.revoke(connection, "demo")
    return "\n".join(
        [
            f"\nThe last 30 days of {tenant}:",
            *numbers,
            f"Open  http://{HOST}:{port}/?token={tokens.create(connection, 'demo', None)}",
            f"SQL   psql '{database_url()}' -c \"{query}\"",
            "Ctrl-C stops all of it; the data are kept for the next time.",
        ]
    )
