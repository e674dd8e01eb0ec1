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
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import IO

from datasource.store.errors import StoreError
from datasource.store.lines import Chunk

ALONE = 4  # chunks that are parsed before processes are worth their start
MOST_WORKERS = 3
Worker = subprocess.Popen[bytes]


def parsed(chunks: Iterator[Chunk]) -> Generator[Chunk, None, None]:
    """Parse chunks and give them in their order. Close the iterator when it is not run out."""
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    for chunk in islice(chunks, ALONE if processors > 1 else None):
        chunk.parse()
        yield chunk
    busy: deque[tuple[Worker, Chunk]] = deque()
    with ExitStack() as workers:  # who end when their input does
        for chunk in islice(chunks, min(processors, MOST_WORKERS)):
            worker = workers.enter_context(_worker())
            _send(chunk, worker.stdin)
            busy.append((worker, chunk))
        while busy:
            worker, sent = busy.popleft()
            try:
                chunk = _receive(worker.stdout)
            except EOFError:
                raise StoreError("a process that parses records ended") from None
            chunk.lines = sent.lines
            for following in islice(chunks, 1):
                _send(following, worker.stdin)
                busy.append((worker, following))
            yield chunk


def _worker() -> Worker:
    return subprocess.Popen(
        [sys.executable, "-m", "datasource.store.parsing"],
        cwd=Path(__file__).parents[2],  # where Python finds the module
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _send(chunk: Chunk, pipe: IO[bytes] | None) -> None:
    assert pipe
    pickle.dump(chunk, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> Chunk:
    assert pipe
    chunk: Chunk = pickle.load(pipe)
    return chunk


def main() -> None:
    """Parse the chunks on the standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the load, which then ends this
    with suppress(EOFError, BrokenPipeError):
        while True:
            chunk = _receive(sys.stdin.buffer)
            chunk.parse()
            chunk.lines = []  # the load has them
            _send(chunk, sys.stdout.buffer)
    os._exit(0)  # without Python's own complaint about a pipe that is closed


if __name__ == "__main__":
    main()
