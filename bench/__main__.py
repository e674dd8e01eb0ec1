"""`python -m bench [PART …] [--events N] [--out FILE]`: measures, prints tables, keeps them."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

from bench import bulk, century, dashboards, distinct, http, load, postgraphile, refresh
from bench.place import Place
from datasource.store import embedded

PARTS = {
    part.__name__[6:]: part
    for part in (load, refresh, bulk, century, distinct, http, dashboards, postgraphile)
}
HEAD = """# Benchmarks

What `make bench` found: ratios against what one would have otherwise, both sides measured in one
run, with made-up data as `chatkpi demo` has them, on an embedded PostgreSQL that syncs to disk.
Unless a part says otherwise, its bars are for 5,000,000 events. *Load* is the machine's load
average at the end of a part."""
COLUMNS = "| What | chatkpi | Otherwise | Ratio | Bar | Met |\n|---|--:|--:|--:|--:|---|"
MET = {True: "yes", False: "**no**", None: ""}


def main() -> int:
    """Run this program again with a folder, and remove that when its server has stopped."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures speed.")
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS))
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=730, help="over which the events are spread")
    parser.add_argument("--out", type=Path, help="a file in which to replace the parts' sections")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}")
    if given.folder:
        place = Place(embedded.url(given.folder / "server"), given.folder, given.events, given.days)
        for part in PARTS:
            if part in given.parts or not given.parts:
                keep(given.out, part, section(part, place))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="chatkpi-bench-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user
    try:
        return subprocess.call([sys.executable, "-m", "bench", *sys.argv[1:], "--folder", folder])
    finally:
        until = time.monotonic() + 60
        while (folder / "server/data/postmaster.pid").exists() and time.monotonic() < until:
            time.sleep(0.2)
        rmtree(folder, ignore_errors=True)


def section(part: str, place: Place) -> str:
    """Run a part; return its question and its figures as Markdown."""
    rows = PARTS[part].run(place)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    when = f"{place.events:,} events of {place.days} days, {datetime.now(UTC):%F}, {load}."
    lines = [f"| {' | '.join(row[:5])} | {MET[row.met]} |" for row in rows]
    asked = (PARTS[part].__doc__ or "").strip()
    return "\n".join([f"## {part}\n\n{asked}\n\n{when}\n", COLUMNS, *lines])


def keep(path: Path | None, part: str, text: str) -> None:
    """Print a section, and put it in its place in a file, other parts' sections as they were."""
    print(text, end="\n\n", flush=True)
    if path:
        old = path.read_text().strip().split("\n\n## ")[1:] if path.exists() else []
        sections = {one.split("\n")[0]: f"## {one}" for one in old} | {part: text}
        path.write_text("\n\n".join([HEAD, *sections.values()]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
