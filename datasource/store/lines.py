"""Read loads: files, folders and standard input, line by line, in chunks, which are parsed.

Parsing takes about three times as long as PostgreSQL takes to store what comes of it, so the
many chunks of a large load are parsed in processes of their own: on two processors a load is
done in half the time.
"""

import gc
import gzip
import io
import os
import pickle
import signal
import subprocess
import sys
import zlib
from array import array
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import orjson

from datasource.store.checks import BadRecord
from datasource.store.contract import COLUMNS
from datasource.store.errors import StoreError
from datasource.store.record_type import EVENT
from datasource.store.records import NULL, copied, parse

LINE_BYTES = 1_048_576  # the longest line, without its break
CHUNK_LINES = 10_000
CHUNK_BYTES = 4_000_000
BUFFER_BYTES = 1 << 18
CHUNKS_WITHOUT_WORKERS = 4  # parsed before processes of their own are worth their start
MOST_WORKERS = 3
WORKER = "from datasource.store.lines import work; work()"
STDIN = "-"
SUFFIXES = (".ndjson", ".ndjson.gz")
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
ID = COLUMNS[EVENT].index("id")  # the position of the id among an event's values


class Event(NamedTuple):
    """An event of a chunk."""

    line: int  # its index in the chunk
    id: str
    row: str  # a line of COPY, without the numbers of tenant and load


class Events(NamedTuple):
    """A tenant's events in a chunk, packed: one text goes to another process faster than many."""

    indexes: "array[int]"
    ids: bytes  # a JSON list
    rows: str  # lines of COPY

    @classmethod
    def pack(cls, events: Iterable[Event]) -> "Events":
        """Pack events."""
        indexes, ids, rows = array("i"), list[str](), list[str]()
        for event in events:
            indexes.append(event.line)
            ids.append(event.id)
            rows.append(event.row)
        return cls(indexes, orjson.dumps(ids), "\n".join(rows))

    def unpack(self) -> Iterator[Event]:
        """Give the events one by one."""
        return map(Event, self.indexes, orjson.loads(self.ids), self.rows.split("\n"))

    def without(self, positions: Collection[int]) -> "Events":
        """Return a copy without the events at some positions."""
        return Events.pack(
            event for position, event in enumerate(self.unpack()) if position not in positions
        )


@dataclass
class Chunk:
    """Consecutive lines of one file, and what `parse` makes of them.

    An index is a position in `lines`.
    """

    file: str
    first: int  # the number of the first line
    done: int  # bytes of all files read up to here, as they are stored
    lines: list[bytes] = field(default_factory=list)
    events: dict[str, Events] = field(default_factory=dict)  # by tenant
    repeats: dict[str, Events] = field(default_factory=dict)  # events with the id of an earlier one
    # By type, the entities: index, tenant, values.
    entities: dict[str, list[tuple[int, str, list[str | None]]]] = field(default_factory=dict)
    set_aside: list[tuple[int, str]] = field(default_factory=list)
    broken: str | None = None  # why the file could not be read beyond these lines

    def parse(self) -> None:
        """Sort the lines into events, entities and what is set aside."""
        events: dict[str, dict[str, Event]] = {}  # by tenant, by id
        repeats: dict[str, list[Event]] = {}
        for index, line in enumerate(self.lines):
            try:
                if len(line) > LINE_BYTES:
                    raise BadRecord("longer than 1 MiB")
                table, tenant, values = parse(line)
            except BadRecord as error:
                if line and not line.isspace():
                    self.set_aside.append((index, str(error)))
                continue
            if table == EVENT:
                row = copied(values) if b"\\" in line else "\t".join(values)
                event = Event(index, values[ID], row)
                of_tenant = events.get(tenant)
                if of_tenant is None:
                    events[tenant] = {event.id: event}
                elif event.id in of_tenant:
                    repeats.setdefault(tenant, []).append(event)
                else:
                    of_tenant[event.id] = event
            else:
                given = [None if value is NULL else value for value in values]
                self.entities.setdefault(table, []).append((index, tenant, given))
        self.events = {tenant: Events.pack(by_id.values()) for tenant, by_id in events.items()}
        self.repeats = {tenant: Events.pack(listed) for tenant, listed in repeats.items()}


def files(paths: Sequence[str | Path]) -> list[str]:
    """Return the files that paths stand for: themselves, or those of a folder, sorted.

    Raises StoreError when one does not exist or a folder has nothing to load.
    """
    found: list[str] = []
    for path in map(str, paths):
        if path != STDIN and Path(path).is_dir():
            inside = [p for p in Path(path).rglob("*") if _is_load(p)]
            if not inside:
                raise StoreError(f"{path}: no .ndjson or .ndjson.gz file in it")
            found += map(str, sorted(inside))
        elif path == STDIN or Path(path).exists():
            found.append(path)
        else:
            raise StoreError(f"{path}: no such file or folder")
    return found


def _is_load(path: Path) -> bool:
    """Say whether a file in a folder is one to load."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def size(names: Sequence[str]) -> int:
    """Return the bytes of all files as they are stored; a pipe has none."""
    return sum(os.stat(0 if name == STDIN else name).st_size for name in names)


def chunks(names: Sequence[str]) -> Iterator[Chunk]:
    """Read files (from `files`); a file's last chunk, which may be empty, says if it broke off."""
    before = 0
    for name in names:
        chunk = Chunk(shown(name), 1, before)
        held = 0
        try:
            with _open(name) as (stored, stream):
                for line in _lines(stream):
                    chunk.lines.append(line)
                    held += len(line)
                    if len(chunk.lines) >= CHUNK_LINES or held >= CHUNK_BYTES:
                        chunk.done = before + _position(stored)
                        yield chunk
                        chunk = Chunk(chunk.file, chunk.first + len(chunk.lines), chunk.done)
                        held = 0
                chunk.done = before + _position(stored)
        except (OSError, EOFError, zlib.error) as error:
            chunk.broken = f"cannot be read to its end: {error}"
        yield chunk
        before = chunk.done


def shown(name: str) -> str:
    r"""Return a file's name for the database and terminals: bytes that are no text as \udcff."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


class _Unzipped(gzip.GzipFile):
    """Gives what is there before a break of the file, which buffers above would else lose."""

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        return self.readinto1(buffer)


@contextmanager
def _open(name: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file; give what is stored, for the position, and what it holds."""
    file = io.FileIO(0, closefd=False) if name == STDIN else io.FileIO(name)
    with io.BufferedReader(file, BUFFER_BYTES) as stored:
        if name.lower().endswith(".gz") or stored.peek(2)[:2] == GZIP:
            with _Unzipped(fileobj=stored) as content:
                yield stored, io.BufferedReader(content, BUFFER_BYTES)
        else:
            yield stored, stored


def _position(stored: BinaryIO) -> int:
    return stored.tell() if stored.seekable() else 0


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Give each line without its break; one that is too long is cut to a byte over the limit."""
    start = BOM
    while line := stream.readline(LINE_BYTES + len(BOM) + 2):
        if not line.endswith(b"\n"):
            while (rest := stream.readline(BUFFER_BYTES)) and not rest.endswith(b"\n"):
                pass
        line = line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
        yield line.removeprefix(start)[: LINE_BYTES + 1]
        start = b""


def parsed(chunks: Iterator[Chunk]) -> Generator[Chunk, None, None]:
    """Parse chunks and give them in their order. Close the iterator when it is not run out."""
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    for chunk in islice(chunks, CHUNKS_WITHOUT_WORKERS if processors > 1 else None):
        chunk.parse()
        yield chunk
    busy: deque[tuple[subprocess.Popen[bytes], Chunk]] = deque()
    try:
        with ExitStack() as workers:  # which end when their input does
            for chunk in islice(chunks, min(processors, MOST_WORKERS)):
                worker = workers.enter_context(_worker())
                _send(_joined(chunk), worker.stdin)
                busy.append((worker, chunk))
            while busy:
                worker, sent = busy.popleft()
                chunk = _receive(worker.stdout)
                chunk.lines = sent.lines
                for following in islice(chunks, 1):
                    _send(_joined(following), worker.stdin)
                    busy.append((worker, following))
                yield chunk
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):
        raise StoreError("a process that parses records ended") from None


def _joined(chunk: Chunk) -> Chunk:
    """Return a chunk to be sent: one text of all lines is sent faster than they are."""
    return replace(chunk, lines=[b"\n".join(chunk.lines)])


def _worker() -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]  # where Python finds this module
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", WORKER], cwd=root, stdin=pipe, stdout=pipe)


def _send(chunk: Chunk, pipe: IO[bytes] | None) -> None:
    assert pipe
    pickle.dump(chunk, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> Chunk:
    assert pipe
    chunk: Chunk = pickle.load(pipe)
    return chunk


def work() -> None:
    """Parse the chunks on the standard input until it ends, as it does when the load dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the load, which then ends this
    gc.disable()  # nothing here refers to itself
    with suppress(EOFError, BrokenPipeError):
        while True:
            chunk = _receive(sys.stdin.buffer)
            chunk.lines = chunk.lines[0].split(b"\n")
            chunk.parse()
            chunk.lines = []  # the load has them
            _send(chunk, sys.stdout.buffer)
    os._exit(0)  # without Python's own complaint about a pipe that is closed
