"""An embedded PostgreSQL that lives as long as a process uses it.

Two files in the home folder carry the design, through `flock`s, which the kernel releases
however a process ends:

- `clients.lock`, shared: held by every process that uses the server, until its end.
- `clients.lock`, exclusive: taken by the keeper when nobody else holds it; then it stops
  the server and ends.
- `server.lock`, exclusive: taken by whoever starts the keeper and handed on to it and to
  PostgreSQL. While it is held a process of the server is alive; who gets it may start a
  server, and may throw away what a dead one left behind.

The keeper (keeper.py) is a program of its own, with PostgreSQL as its child.
"""

import fcntl
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import platformdirs
import psycopg

from datasource.store.errors import StoreError

START_SECONDS = 60.0
STOP_SECONDS = 10.0
SERVER_LOG = "postgres.log"

_held: dict[Path, int] = {}


def default_home() -> Path:
    """Return the folder of the embedded server: CHATKPI_HOME, else the user's own."""
    named = os.environ.get("CHATKPI_HOME")
    if named:
        return Path(named)
    if os.geteuid() == 0:  # PostgreSQL then runs as another user, who cannot look into root's home
        return Path("/var/lib/chatkpi")
    return Path(platformdirs.user_data_dir("chatkpi"))


def url(home: Path | None = None, *, throwaway: bool = False) -> str:
    """Make sure that the server of a home folder runs, and return a URL to connect with.

    The calling process counts as a user of the server until `release` or its end; the server
    stops about a second after its last user. `throwaway` (for tests) trades durability for speed
    and has the folder deleted when the server stops. Raises StoreError when there can be none.
    """
    folder = _folder(home)
    deadline = time.monotonic() + START_SECONDS
    keeper: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline and (not keeper or keeper.poll() is None):
        if _hold(folder):
            if address := _working(folder):
                return address
            if not keeper and (lock := _lock(folder / "server.lock", fcntl.LOCK_EX)) is not None:
                keeper = _start_keeper(folder, lock, throwaway)
                os.close(lock)
        time.sleep(0.02)
    words, log = _last_words(folder), folder / SERVER_LOG
    raise StoreError(f"embedded PostgreSQL did not start: {words}", f"its log is {log}")


def release(home: Path | None = None) -> None:
    """No longer be a user of a server; wait up to ten seconds for it to stop."""
    folder = _folder(home)
    if folder in _held:
        os.close(_held.pop(folder))
        deadline = time.monotonic() + STOP_SECONDS
        while (lock := _lock(folder / "server.lock", fcntl.LOCK_EX)) is None:
            if time.monotonic() > deadline:  # it has other users
                return
            time.sleep(0.05)
        os.close(lock)


def _folder(home: Path | None) -> Path:
    return (home or default_home()).expanduser().resolve()


def _hold(home: Path) -> bool:
    """Become a user of the server, for the life of this process, unless it is just stopping."""
    path = home / "clients.lock"
    if home in _held:
        # A throw-away home goes with its server.
        if path.exists() and os.path.samestat(os.fstat(_held[home]), path.stat()):
            return True
        os.close(_held.pop(home))
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0 and (mode := home.stat().st_mode) & 0o011 != 0o011:
            home.chmod(mode & 0o7777 | 0o011)  # passable for PostgreSQL's user, not readable
    except OSError as error:
        hint = "set CHATKPI_HOME to a folder that can be written to"
        raise StoreError(f"cannot make {home}: {error.strerror}", hint) from None
    lock = _lock(path, fcntl.LOCK_SH)
    if lock is None:
        return False
    os.set_inheritable(lock, True)  # a program that this process turns into by exec still counts
    _held[home] = lock
    return True


def _lock(path: Path, kind: int) -> int | None:
    """Open and lock a file without waiting; None when another holds it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}") from None
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), path.stat()):
            return file
    os.close(file)
    return None


def _working(home: Path) -> str | None:
    """Return the server's address if it takes connections there."""
    try:
        address = (home / "address").read_text()
        psycopg.connect(address, connect_timeout=5).close()
    except (FileNotFoundError, psycopg.OperationalError):
        return None
    return address


def _last_words(home: Path) -> str:
    """Return the line of the server's log that says best why it ended."""
    log = home / SERVER_LOG
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    telling = re.compile("FATAL:(?!.*is starting up)|PANIC:|[Ee]rror:")
    telling_line = next(filter(telling.search, reversed(lines)), "it left no message")
    return telling_line.removeprefix("error: ")  # the keeper's own words


def _start_keeper(home: Path, lock: int, throwaway: bool) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "datasource.store.keeper", str(home)]
    log = home / SERVER_LOG
    if log.exists():
        log.chmod(0o600)  # an earlier version let others read it
        log.replace(log.with_suffix(".log.1"))
    with open(log, "wb", opener=partial(os.open, mode=0o600)) as output:
        return subprocess.Popen(
            [*program, "throwaway"] if throwaway else program,
            cwd=Path(__file__).parents[2],  # where Python finds the module
            stdin=lock,
            stdout=output,
            stderr=output,
            start_new_session=True,  # an interrupt in the terminal is not meant for the server
        )
