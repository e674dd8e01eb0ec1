"""The server's settings: each is read from the environment, as CHATKPI_ and its name."""

import os
from dataclasses import dataclass, fields
from typing import Any

MAY_BE_ZERO = ("rate", "cache", "max_behind")


@dataclass(frozen=True)
class Settings:
    """What the server does for a client: seconds for each thing, and how many things at once."""

    head_seconds: float = 10.0  # for the request line and the headers of a request
    body_seconds: float = 20.0  # for the body of a request
    stall_seconds: float = 30.0  # for the client to take the next 64 KiB of an answer
    download_seconds: float = 600.0  # for a whole answer, however steadily it is taken
    token_requests: int = 8  # questions of one token at once, in all processes together
    token_downloads: int = 2  # downloads of one token at once, in all processes together
    connections: int = 8  # database connections of each process for questions
    downloads: int = 4  # database connections of each process for downloads
    clients: int = 2000  # connections of clients of each process
    rate: int = 0  # requests a minute of one token; 0 for no limit
    cache: float = 32.0  # MiB of answers that each process keeps; 0 for none
    max_behind: float = 15.0  # minutes behind from which /ready is 503
    workers: int = 1  # processes that share the limits of a token

    @classmethod
    def of_environment(cls) -> "Settings":
        """Return what the environment sets, defaults where it is silent or empty.

        Raises ValueError, which names the variable, for what is no number or below its least.
        """
        return cls(**{field.name: _setting(field.name, field.default) for field in fields(cls)})

    @property
    def requests_here(self) -> int:
        """The questions of one token that this process answers at once: its share of them."""
        return max(1, self.token_requests // self.workers)


def _setting(name: str, default: Any) -> Any:
    variable = f"CHATKPI_{name.upper()}"
    given = os.environ.get(variable) or str(default)
    least = 0 if name in MAY_BE_ZERO else 1
    try:
        value = type(default)(given)
    except ValueError:
        value = -1
    if not least <= value < float("inf"):
        raise ValueError(f"{variable} must be a number of at least {least}, not {given!r}")
    return value
