"""What does a question cost in PostGraphile, whose GraphQL calls SQL functions over the events?

`npm install postgraphile@4` somewhere, and have its `node_modules/.bin` in PATH.
"""

import shutil
import time
from http.client import HTTPConnection
from typing import Any

import orjson

from bench.http import QUESTIONS, Client, worker
from bench.place import RANGES, Place, Row, faster, running
from datasource import demo
from datasource.protocol import tokens
from datasource.store.connection import connect

FUNCTION = """CREATE FUNCTION {name}(no integer, starts timestamptz, ends timestamptz, zone text) RETURNS SETOF numeric
LANGUAGE sql STABLE AS $sql$ SELECT n::numeric FROM ({query}) AS q (n) $sql$"""


def run(place: Place) -> list[Row]:
    """Ask the five questions of the part http of both servers, over HTTP, for the largest tenant."""
    program = shutil.which("postgraphile")
    if not program:
        return [Row("PostGraphile is not installed here", *["", "", ""])] * 3
    url, tenant = place.filled(), demo.tenants()[0]
    with connect(url, autocommit=True) as connection:
        connection.execute("CREATE INDEX ON kpi_data.event (tenant_no, type, at)")
        connection.execute("VACUUM (ANALYZE) kpi_data.event")
        connection.execute(
            "DROP SCHEMA IF EXISTS otherwise CASCADE; CREATE SCHEMA otherwise; SET search_path = otherwise"
        )
        for number, (_, query) in enumerate(QUESTIONS.values()):
            for name, parameter in (
                ("no", "no"),
                ("from", "starts"),
                ("to", "ends"),
                ("zone", "zone"),
            ):
                query = query.replace(f"%({name})s", f"f{number}.{parameter}")
            connection.execute(FUNCTION.format(name=f"f{number}", query=query).encode())
        token = tokens.create(connection, f"graphql {time.time()}", None)
        [(no, zone, starts, ends, *_)] = connection.execute(RANGES, [tenant])
    ours: dict[str, Any] = {"shape": "total", "filters": {"tenant": tenant}}
    ours |= {name: int(at.timestamp() * 1000) for name, at in (("from", starts), ("to", ends))}
    given = f'no: {no}, starts: "{starts.isoformat()}", ends: "{ends.isoformat()}", zone: "{zone}"'
    env, found = {"DATABASE_URL": url, "CHATKPI_CACHE": "0", "CHATKPI_LOG": "warning"}, []
    quiet = ["--disable-query-log", "--disable-graphiql", "--no-setof-functions-contain-nulls"]
    other_program = [
        program,
        "-c",
        url,
        "-s",
        "otherwise",
        "-n",
        "127.0.0.1",
        "-p",
        "{port}",
        *quiet,
    ]
    with (
        worker("datasource.protocol.app:create_app()", env) as port,
        running(other_program) as other,
    ):
        client, graphql = Client(port, token), HTTPConnection("127.0.0.1", other)
        for number, (name, (question, _)) in enumerate(QUESTIONS.items()):
            asked = orjson.dumps({"query": f"{{ f{number}({given}) {{ nodes }} }}"})

            def ask(asked: bytes = asked) -> list[float]:
                graphql.request("POST", "/graphql", asked, {"Content-Type": "application/json"})
                [nodes] = orjson.loads(graphql.getresponse().read())["data"].values()
                return [float(node) for node in nodes["nodes"] if node and float(node)]

            def rows(question: dict[str, Any] = ours | question) -> list[float]:
                return [row["value"] for row in orjson.loads(client.ask(question)) if row["value"]]

            assert sorted(round(n, 6) for n in ask()) == sorted(round(n, 6) for n in rows()), name
            found.append(faster(f"{name}, p50; PostGraphile", rows, ask))
    return found
