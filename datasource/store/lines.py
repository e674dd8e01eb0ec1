"""Reading loads: files, folders and standard input, line by line, in chunks."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from datasource.store.contract import EVENT, BadRecord
from datasource.store.errors import StoreError
from datasource.store.records import NULL, copied, parse

LINE_BYTES = 1_048_576  # the longest line, without its break
CHUNK_LINES = 10_000
CHUNK_BYTES = 4_000_000
BUFFER_BYTES = 1 << 18
STDIN = "-"
SUFFIXES = (".ndjson", ".ndjson.gz")
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"


@dataclass
class Chunk:
    """Consecutive lines of one file, and what `parse` makes of them.

    An index is a position in `lines`.
    """

    file: str
    first: int  # the number of the first line
    done: int  # bytes of all files read up to here, as they are stored
    lines: list[bytes] = field(default_factory=list)
    # By tenant and index, the events as lines of COPY.
    events: dict[str, dict[int, str]] = field(default_factory=dict)
    # By kind, the entities: index, tenant, values.
    entities: dict[str, list[tuple[int, str, list[str | None]]]] = field(default_factory=dict)
    set_aside: list[tuple[int, str]] = field(default_factory=list)
    broken: str | None = None  # why the file could not be read beyond these lines

    def parse(self) -> None:
        """Sort the lines into events, entities and what is set aside."""
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
                self.events.setdefault(tenant, {})[index] = row
            else:
                given = [None if value is NULL else value for value in values]
                self.entities.setdefault(kind, []).append((index, tenant, given))


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
