"""How fast is `chatkpi load` against a bare COPY of the same rows, and does its memory stay flat?"""

import os
import subprocess
import sys
from pathlib import Path

import psycopg

from bench.place import Place, Row, seconds
from datasource.store.connection import connect
from datasource.store.keeper import SUPERUSER

LOAD = "import sys; from datasource.cli import main; sys.exit(main())"


def run(place: Place) -> list[Row]:
    """Load the last days into a database and everything into another; copy that to a twin table."""
    _, little = _load(place.database(), place.files()[1:])
    url = place.database()
    loaded, most = _load(url, place.files())
    with connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        rows = place.folder / "rows.txt"
        with cursor.copy("COPY kpi_data.event TO STDOUT") as copy, rows.open("wb") as file:
            file.writelines(copy)
        cursor.execute("CREATE SCHEMA bench")
        cursor.execute("CREATE TABLE bench.twin (LIKE kpi_data.event INCLUDING ALL)")
        # Else what the load left to be written would be written beside the copy.
        with psycopg.connect(url, user=SUPERUSER, autocommit=True) as superuser:
            superuser.execute("CHECKPOINT")

        def copied() -> None:
            with cursor.copy("COPY bench.twin FROM STDIN") as copy, rows.open("rb") as file:
                while block := file.read(1 << 18):
                    copy.write(block)

        bare = seconds(copied)
        [(count,)] = cursor.execute("SELECT count(*) FROM bench.twin")
    rows.unlink()
    speed = f"{loaded:.1f} s", f"{bare:.1f} s", f"{bare / loaded:.0%}", "≥ 35 %"
    memory = f"{most:.0f} MB", f"{little:.0f} MB", f"{most / little:.2f} ×", "flat: ≤ 1.2 ×"
    return [
        Row(f"{count:,} events: speed; COPY", *speed, bare >= 0.35 * loaded),
        Row("memory of the largest process; for a month", *memory, most <= 1.2 * little),
    ]


def _load(url: str, paths: list[Path]) -> tuple[float, float]:
    """Run the command; return its seconds, start included, and its largest process's megabytes."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD, "load", *map(str, paths)],
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
    )
    waited = []
    taken = seconds(lambda: waited.append(os.wait4(process.pid, 0)))
    [(_, process.returncode, used)] = waited
    assert process.returncode == 0
    return taken, used.ru_maxrss / 1024
