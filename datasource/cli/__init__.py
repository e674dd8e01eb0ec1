"""The command `chatkpi`: its commands are in `commands.toml`, what they do in the modules."""

import os
import sys
import tomllib
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import psycopg
from psycopg.errors import InvalidSchemaName, UndefinedFunction, UndefinedTable

from datasource import __version__
from datasource.catalog import Catalog, DefinitionError, Kpi
from datasource.cli import checks, database, questions, report, server, setup
from datasource.protocol import question
from datasource.protocol.errors import ApiError
from datasource.store.errors import StoreError

COMMANDS = Path(__file__).with_name("commands.toml")
RUN = {
    "serve": server.serve,
    "demo": server.demo,
    "init": database.init,
    "setup": setup.setup,
    "load": database.load,
    "refresh": database.refresh,
    "forget": database.forget,
    "login": database.login,
    "token": database.token,
    "kpi": questions.ask,
    "hits": questions.ask,
    "explain": questions.explain,
    "check": checks.check,
    "dashboards": checks.dashboards,
    "report": report.report,
}


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 for a failure, 2 for wrong usage, or as the command has it."""
    given = _parser().parse_args(arguments)
    try:
        code = given.run(given) or 0
        sys.stdout.flush()
        return int(code)
    except (ArgumentTypeError, ApiError, OverflowError, ValueError) as error:
        words, code = str(error), 2  # wrong whatever the database says
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (StoreError, DefinitionError, psycopg.Error, OSError) as error:
        words, code = _words(error), given.failure
    except KeyboardInterrupt:
        return 130
    print("chatkpi:", " ".join(words.split()), file=sys.stderr)
    return int(code)


def _words(error: Exception) -> str:
    message, hint = str(error), getattr(error, "hint", "")
    if isinstance(error, psycopg.Error):
        message, hint = error.diag.message_primary or message, error.diag.message_hint
    if isinstance(error, InvalidSchemaName | UndefinedTable | UndefinedFunction):
        hint = "this database is not set up, or for another version: run chatkpi init"
    return f"{message} ({hint})" if hint else message


def _parser() -> ArgumentParser:
    parser = _Parser(prog="chatkpi", description="KPIs of chat and messaging.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"chatkpi {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    table = tomllib.loads(COMMANDS.read_text(encoding="utf-8"))
    for name, row in table.items():
        words = row["help"]
        command = commands.add_parser(name, help=words, description=words, allow_abbrev=False)
        command.set_defaults(run=RUN[name], failure=row.get("failure", 1), **row.get("set", {}))
        shared = table[row["like"]]["options"] if "like" in row else {}
        for flag, option in (shared | row.get("options", {})).items():
            given = dict(option)
            if variable := given.pop("env", ""):
                given["default"] = os.environ.get(variable, given.get("default"))
            if isinstance(given.get("metavar"), list):
                given["metavar"] = tuple(given["metavar"])
            if "type" in given:
                given["type"] = READERS[given["type"]]
            command.add_argument(flag, **given)
        if shapes := row.get("either"):
            group = command.add_mutually_exclusive_group()
            for shape in shapes:
                group.add_argument(
                    f"--{shape}", dest="shape", action="store_const", const=shape, default=shapes[0]
                )
    return parser


def _positive(text: str) -> int:
    """Read a whole number from 1 on."""
    if not 0 < (number := int(text)) < 1 << 31:
        raise ValueError
    return number


def _moment(text: str) -> str:
    """Check a date (10 characters) or RFC 3339 time of 2000 to 2100; return the time in UTC."""
    is_date = len(text) == len("2026-10-01")
    time = f"{text}T00:00:00Z" if is_date else text
    try:
        found = question.moment({"time": time}, "time")
    except ApiError as error:
        raise ArgumentTypeError(f"{text!r} is no date and no RFC 3339 time; {error}") from None
    return text if is_date or found is None else found


def _last(text: str) -> str:
    """Check a number of whole hours, days, weeks or months ("7 days")."""
    if question.is_last(text):
        return text
    raise ArgumentTypeError(f"{text!r} is no number of hours, days, weeks or months ('7 days')")


def _known(kpi_id: str) -> Kpi:
    if kpi := Catalog.read().kpis.get(kpi_id):
        return kpi
    raise ArgumentTypeError(f"there is no KPI {kpi_id!r}; SELECT * FROM kpi.catalog lists them")


READERS = {"positive": _positive, "moment": _moment, "last": _last, "kpi": _known}
