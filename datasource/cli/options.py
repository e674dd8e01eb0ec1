"""What the commands' options have in common."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Callable
from typing import TypeAlias

from datasource.protocol import question
from datasource.protocol.errors import ApiError

Commands: TypeAlias = "_SubParsersAction[ArgumentParser]"
Run: TypeAlias = Callable[[Namespace], int | None]


def command(commands: Commands, name: str, run: Run, words: str, failed: int = 1) -> ArgumentParser:
    """Add a command that calls `run`; `failed` is its exit code when it cannot do its work."""
    parser = commands.add_parser(name, help=words, description=words, allow_abbrev=False)
    parser.set_defaults(run=run, failure=failed)
    return parser


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    if not 0 < (number := int(text)) < 1 << 31:
        raise ValueError
    return number


def moment(text: str) -> str:
    """Check a date (10 characters) or RFC 3339 time of 2000 to 2100; return the time in UTC."""
    is_date = len(text) == 10
    try:
        found = question.moment({"time": text + "T00:00:00Z" * is_date}, "time")
    except ApiError as error:
        raise ArgumentTypeError(f"{text!r} is no date and no RFC 3339 time; {error}") from None
    return text if is_date or found is None else found
