"""Reading loads: files, folders and standard input, line by line, in chunks, which are parsed.

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
from itertools import compress, islice
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import orjson

from datasource.store.contract import COLUMNS, EVENT, BadRecord
from datasource.store.errors import StoreError
from datasource.store.records import NULL, copied, parse

LINE_BYTES = 1_048_576  # the longest line, without its break
CHUNK_LINES = 10_000
CHUNK_BYTES = 4_000_000
BUFFER_BYTES = 1 << 18
ALONE = 4  # chunks that are parsed before processes are worth their start
MOST_WORKERS = 3
WORKER = "from datasource.store.lines import work; work()"
STDIN = "-"
SUFFIXES = (".ndjson", ".ndjson.gz")
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
ID = COLUMNS[EVENT].index("id")


class Events(NamedTuple):
    """A tenant's events in a chunk: their indexes, ids (a JSON list), themselves as COPY's lines.

    One text goes from process to process faster than many.
    """

    indexes: "array[int]"
    ids: bytes
    rows: str

    @classmethod
    def of(cls, indexes: Iterable[int], ids: Iterable[str], rows: Iterable[str]) -> "Events":
        """Make them of as many indexes, ids and rows."""
        return cls(array("i", indexes), orjson.dumps([*ids]), "\n".join(rows))

    def without(self, places: Collection[int]) -> "Events":
        """Return those that stand in other places."""
        columns = self.indexes, orjson.loads(self.ids), self.rows.split("\n")
        left = [place not in places for place in range(len(self.indexes))]
        return Events.of(*(compress(column, left) for column in columns))


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
    again: dict[str, Events] = field(default_factory=dict)  # whose id an earlier one here has
    # By kind, the entities: index, tenant, values.
    entities: dict[str, list[tuple[int, str, list[str | None]]]] = field(default_factory=dict)
    set_aside: list[tuple[int, str]] = field(default_factory=list)
    broken: str | None = None  # why the file could not be read beyond these lines

    def parse(self) -> None:
        """Sort the lines into events, entities and what is set aside."""
        events: dict[str, tuple[list[int], dict[str, str]]] = {}
        again: dict[str, list[tuple[int, str, str]]] = {}
        for index, line in enumerate(self.lines):
            try:
                if len(line) > LINE_BYTES:
                    raise BadRecord("longer than 1 MiB")
                kind, tenant, values = parse(line)
            except BadRecord as error:
                if line and not line.isspace():
                    self.set_aside.append((index, str(error)))
                continue
            if kind == EVENT:
                row = copied(values) if b"\\" in line else "\t".join(values)
                indexes, rows = events.get(tenant) or events.setdefault(tenant, ([], {}))
                if (name := values[ID]) in rows:
                    again.setdefault(tenant, []).append((index, name, row))
                else:
                    indexes.append(index)
                    rows[name] = row
            else:
                given = [None if value is NULL else value for value in values]
                self.entities.setdefault(kind, []).append((index, tenant, given))
        self.events = {
            tenant: Events.of(indexes, rows, rows.values())
            for tenant, (indexes, rows) in events.items()
        }
        self.again = {tenant: Events.of(*zip(*of, strict=True)) for tenant, of in again.items()}


def files(paths: Sequence[str | Path]) -> list[str]:
    """Return the files that paths stand for: themselves, or those of a folder, sorted.

    Raises StoreError when one does not exist or a folder has nothing to load.
    """
    found: list[str] = []
    for path in map(str, paths):
        if path != STDIN and Path(path).is_dir():
            inside = [p for p in Path(path).rglob("*") if p.name.endswith(SUFFIXES) and p.is_file()]
            if not inside:
                raise StoreError(f"{path}: no .ndjson or .ndjson.gz file in it")
            found += map(str, sorted(inside))
        elif path == STDIN or Path(path).exists():
            found.append(path)
        else:
            raise StoreError(f"{path}: no such file or folder")
    return found


def size(names: Sequence[str]) -> int:
    """Return the bytes of all files as they are stored; a pipe has none."""
    return sum(os.stat(0 if name == STDIN else name).st_size for name in names)


def chunks(names: Sequence[str]) -> Iterator[Chunk]:
    """Read files (from `files`); a file's last chunk, which may be empty, says if it broke off."""
    before = 0
    for name in names:
        chunk = Chunk(name, 1, before)
        held = 0
        try:
            with _open(name) as (stored, stream):
                for line in _lines(stream):
                    chunk.lines.append(line)
                    held += len(line)
                    if len(chunk.lines) >= CHUNK_LINES or held >= CHUNK_BYTES:
                        chunk.done = before + _position(stored)
                        yield chunk
                        chunk = Chunk(name, chunk.first + len(chunk.lines), chunk.done)
                        held = 0
                chunk.done = before + _position(stored)
        except (OSError, EOFError, zlib.error) as error:
            chunk.broken = f"cannot be read to its end: {error}"
        yield chunk
        before = chunk.done


class _Unzipped(gzip.GzipFile):
    """Gives what is there before a break of the file, which buffers above would else lose."""

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        return self.readinto1(buffer)


@contextmanager
def _open(name: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file; give what is stored, for the position, and what it holds."""
    file = io.FileIO(0, closefd=False) if name == STDIN else io.FileIO(name)
    with io.BufferedReader(file, BUFFER_BYTES) as stored:
        if name.endswith(".gz") or stored.peek(2)[:2] == GZIP:
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
    for chunk in islice(chunks, ALONE if processors > 1 else None):
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
