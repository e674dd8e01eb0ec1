"""check and dashboards: the commands that look whether all is well."""

import os
import sys
from argparse import Namespace
from pathlib import Path

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException
from psycopg import IsolationLevel

from datasource import grafana
from datasource.catalog import Catalog, views_folder
from datasource.grafana.strict import SpecError
from datasource.store import locks
from datasource.store.connection import connect

RULES = Path(__file__).with_name("check.sql")


def check(given: Namespace) -> int:
    """Look a running installation over."""
    minutes = float(os.environ.get("CHATKPI_MAX_BEHIND") or 15)
    known = {"kpis": list(Catalog.read().kpis), "minutes": minutes}
    found: dict[str, list[str]] = {}
    if given.grafana:
        found["Grafana -> mend its data source chatkpi"] = _of_grafana(given.grafana)
    with connect() as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        advice = locks.advice(connection)
        found["room for the locks of a refresh -> do as said"] = [advice] if advice else []
        for rule in RULES.read_text(encoding="utf-8").split("\n\n")[1:]:
            head, _, query = rule.removeprefix("-- ").partition("\n")
            rows = connection.execute(query.encode(), known).fetchall()
            found[head] = [
                words for words, *test in rows if not test or connection.execute(test[0]).rowcount
            ]
    for head, wrong in found.items():
        what, _, mend = head.partition(" -> ")
        print(f"WRONG  {what}: {'; '.join(wrong[:3])}; {mend}" if wrong else f"ok     {what}")
    return 1 if any(found.values()) else 0


def _of_grafana(address: str) -> list[str]:
    api = GrafanaApi.from_url(address, os.environ.get("CHATKPI_GRAFANA_TOKEN"))
    try:
        answer = api.datasource.health("chatkpi")
    except (GrafanaException, OSError) as error:
        return [" ".join(str(error).split())]
    return [] if answer.get("status") == "OK" else [str(answer)]


def dashboards(given: Namespace) -> int:
    """Write dashboards and provisioning; each mistake in their files is a line of its own."""
    top = views_folder().parent  # of a checkout; an installed package has none
    top = Path() if top.name == "datasource" else top
    try:
        changed = grafana.check(top) if given.check else grafana.write(top)
    except SpecError as error:
        print(*(f"chatkpi: {mistake}" for mistake in error.mistakes), sep="\n", file=sys.stderr)
        return 1
    print(*changed, f"{len(changed)} files {'differ' if given.check else 'written'}", sep="\n")
    return 1 if given.check and changed else 0
