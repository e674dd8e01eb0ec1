"""The command `chatkpi`. Each module adds the commands of one kind to the parser."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import psycopg
from psycopg.errors import InvalidSchemaName, UndefinedFunction, UndefinedTable

from datasource.catalog import DefinitionError
from datasource.cli import checks, database, questions, server
from datasource.protocol.errors import ApiError
from datasource.store.errors import StoreError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 for a failure, 2 for wrong usage, or as the command has it."""
    parser = _Parser(prog="chatkpi", description="KPIs of chat and messaging.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (server, database, questions, checks):
        module.add(commands)
    given = parser.parse_args(arguments)
    try:
        code = given.run(given) or 0
        sys.stdout.flush()
        return int(code)
    except (argparse.ArgumentTypeError, ApiError, OverflowError, ValueError) as error:
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
