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
import subprocess
import sys
import time
from pathlib import Path

from datasource.store.errors import StoreError

START_SECONDS = 60.0
SERVER_LOG = "postgres.log"

_held: dict[Path, int] = {}


def default_home() -> Path:
    """Return the folder of the embedded server: CHATKPI_HOME, else the user's own."""
    named = os.environ.get("CHATKPI_HOME")
    if named:
        return Path(named)
    if os.geteuid() == 0:  # PostgreSQL then runs as another user, who cannot look into root's home
        return Path("/var/lib/chatkpi")
    import platformdirs

    return Path(platformdirs.user_data_dir("chatkpi"))


def url(home: Path | None = None, *, throwaway: bool = False) -> str:
    """Make sure that the server of a home folder runs, and return a URL to connect with.

    The calling process counts as a user of the server until it ends; the server stops about
    a second after its last user. `throwaway` (for tests) trades durability for speed and has
    the folder deleted when the server stops. Raises StoreError when no server can be had.
    """
    folder = (home or default_home()).expanduser().resolve()
    deadline = time.monotonic() + START_SECONDS
    _hold(folder, deadline)
    keeper: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline:
        address = _address(folder)
        if address and _accepts(address):
            return address
        if keeper and keeper.poll() is not None:
            words = _last_words(folder)
            raise StoreError(f"embedded PostgreSQL did not start: {words}", _log_hint(folder))
        if not keeper and (lock := _lock(folder / "server.lock", fcntl.LOCK_EX)) is not None:
            keeper = _start_keeper(folder, lock, throwaway)
            os.close(lock)
        time.sleep(0.02)
    raise StoreError(
        f"embedded PostgreSQL was not ready within {START_SECONDS:.0f} s", _log_hint(folder)
    )


def _log_hint(home: Path) -> str:
    return f"its log is {home / SERVER_LOG}"


def _hold(home: Path, deadline: float) -> None:
    """Become a user of the server, for the life of this process."""
    path = home / "clients.lock"
    while True:
        try:
            if home in _held and os.path.samestat(os.fstat(_held[home]), path.stat()):
                return
        except FileNotFoundError:
            pass  # a throw-away home went with its server
        _make_home(home)
        lock = _lock(path, fcntl.LOCK_SH)
        if lock is None:
            if time.monotonic() > deadline:
                raise StoreError("embedded PostgreSQL does not stop", _log_hint(home))
            time.sleep(0.02)
            continue
        os.set_inheritable(
            lock, True
        )  # a program that this process turns into by exec still counts
        if home in _held:
            os.close(_held[home])
        _held[home] = lock


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0 and (mode := home.stat().st_mode) & 0o011 != 0o011:
            home.chmod(mode & 0o7777 | 0o011)  # passable for PostgreSQL's user, not readable
    except OSError as error:
        raise StoreError(
            f"cannot make {home}: {error.strerror}",
            "set CHATKPI_HOME to a folder that can be written to",
        ) from None


def _lock(path: Path, kind: int) -> int | None:
    """Open and lock a file without waiting; None when another holds it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}") from None
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(file)
    return None


def _address(home: Path) -> str | None:
    try:
        return (home / "address").read_text()
    except FileNotFoundError:
        return None


def _accepts(address: str) -> bool:
    import psycopg  # here, since the keeper has no use for it

    try:
        psycopg.connect(address, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _last_words(home: Path) -> str:
    """Return the line of the server's log that says best why it ended."""
    try:
        lines = (home / SERVER_LOG).read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    for mark in ("FATAL:", "PANIC:", "error:", ""):
        telling = [line for line in lines if mark in line and "is starting up" not in line]
        if telling:
            return telling[-1]
    return "it left no message"


def _start_keeper(home: Path, lock: int, throwaway: bool) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    program = [sys.executable, "-m", "datasource.store.keeper", str(home), str(lock)]
    log = home / SERVER_LOG
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as output:
        return subprocess.Popen(
            [*program, "throwaway"] if throwaway else program,
            pass_fds=[lock],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path[1:]])},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # an interrupt in the terminal is not meant for the server
        )
