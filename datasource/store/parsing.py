"""Parsing chunks, the many of a large load in processes of their own.

Parsing takes about three times as long as PostgreSQL takes to store what comes of it, so on
two processors a load is done in half the time. Run as a program, this module is such a process:
it reads pickled chunks from its input and writes them back parsed, until its input ends, as it
does when the load dies.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator
from itertools import chain
from pathlib import Path

from datasource.store.errors import StoreError
from datasource.store.lines import Chunk

ALONE = 4  # chunks that are parsed before processes are worth their start
MOST_WORKERS = 3


class Worker:
    """A process that parses one chunk at a time."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "datasource.store.parsing"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path[1:]])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._sent: Chunk | None = None

    def send(self, chunk: Chunk) -> None:
        """Have a chunk parsed; the one before must have been received."""
        assert self._process.stdin
        pickle.dump(chunk, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()
        self._sent = chunk

    def receive(self) -> Chunk:
        """Wait for the chunk that was sent."""
        assert self._process.stdout and self._sent
        try:
            chunk: Chunk = pickle.load(self._process.stdout)
        except EOFError:
            raise StoreError("a process that parses records ended") from None
        chunk.lines, self._sent = self._sent.lines, None
        return chunk

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.communicate()


def parsed(chunks: Iterator[Chunk]) -> Generator[Chunk, None, None]:
    """Parse chunks and give them in their order. Close the iterator when it is not run out."""
    for _, chunk in zip(range(ALONE), chunks, strict=False):
        chunk.parse()
        yield chunk
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    following = next(chunks, None)
    if following is None:
        return
    chunks = chain([following], chunks)
    if processors > 1:
        yield from _by_workers(chunks, [Worker() for _ in range(min(processors, MOST_WORKERS))])
    for chunk in chunks:
        chunk.parse()
        yield chunk


def _by_workers(chunks: Iterator[Chunk], idle: list[Worker]) -> Iterator[Chunk]:
    """Parse chunks by workers, which go on while the last chunk is being used."""
    busy: deque[Worker] = deque()

    def employ() -> None:
        while idle and (chunk := next(chunks, None)) is not None:
            idle[-1].send(chunk)
            busy.append(idle.pop())

    try:
        employ()
        while busy:
            chunk = busy[0].receive()
            idle.append(busy.popleft())
            employ()
            yield chunk
    finally:
        for worker in (*busy, *idle):
            worker.stop()


def main() -> None:
    """Parse the chunks on the standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the load, which then ends this
    while True:
        try:
            chunk: Chunk = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        chunk.parse()
        chunk.lines = []  # the load has them
        try:
            pickle.dump(chunk, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os._exit(1)  # without Python's own complaint about it


if __name__ == "__main__":
    main()
