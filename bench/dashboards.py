"""What does opening a dashboard cost the server, with nothing kept of earlier answers?

All questions of its panels, variables and annotation, one after another, in the range in which it
opens. Rows that are closed at first ask nothing.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import jq

from bench.place import Place, Row, seconds
from datasource.protocol import tokens
from datasource.protocol.app import create_app
from datasource.store.connection import connect
from tests.datasource.grafana import boards

BAR = 400  # ms


def run(place: Place) -> list[Row]:
    """Open each dashboard of one language, of the largest tenant."""
    url, found = place.filled(), []
    with connect(url, autocommit=True) as connection:
        token = tokens.create(connection, "dashboards", None)
    headers = {"Authorization": f"Bearer {token}"}
    for path, board in boards.BOARDS.items():
        if not path.startswith("dashboards_json/en/"):
            continue
        days = 365 if "potential" in board["tags"] else 30
        span = (place.now - timedelta(days=days), place.now)
        starts, ends = (str(int(end.timestamp() * 1000)) for end in span)
        values = boards.defaults(board) | {"__timeFrom": starts, "__timeTo": ends}
        client = create_app(url).test_client()  # with a cache of its own
        client.post("/rows", json={"list": "tenants"}, headers=headers)  # connects
        taken = []
        for address, body in requests(client, headers, board, values):
            ask = partial(client.post, address, json=body, headers=headers)
            taken.append(1000 * seconds(ask))
        what = f"{board['title']}: {len(taken)} questions"
        total = sum(taken)
        found.append(Row(what, f"{total:.0f} ms", "", "", f"≤ {BAR} ms", total <= BAR))
    return found


def requests(
    client: Any, headers: dict[str, str], board: boards.Json, values: dict[str, boards.Value]
) -> Iterator[tuple[str, boards.Json]]:
    """Give the path and body of each question, variables filled in by the answers before it."""
    for name, target in boards.queries(board).items():
        yield target["url"], boards.body(target, values)
        if name in values and name != "shown":
            continue
        rows = client.post(target["url"], json=boards.body(target, values), headers=headers).json
        if program := target["root_selector"]:
            rows = jq.compile(boards.filled(program, values)).input_value(rows).first()
        options = [row["__value"] for row in rows]
        values[name] = options if name in ("shown", "experience") else options[0]
    for annotation in board["annotations"]["list"]:
        target = annotation["target"]
        yield target["url"], boards.body(target, values)
    for panel in board["panels"]:
        repeated = panel.get("repeat")
        chosen = values[repeated] if repeated else [""]
        for one in [chosen] if isinstance(chosen, str) else chosen:
            for target in boards.panel_targets({"panels": [panel | {"panels": []}]}):
                filled = values | ({repeated: one} if repeated else {})
                yield target["url"], boards.body(target, filled)
