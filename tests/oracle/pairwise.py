"""All-pairs covering: few rows in which every two levels of any two factors meet.

In: factors with their levels and a test which levels may meet. Out: rows {factor: level}.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Level = tuple[str, str]
Row = dict[str, str]


def covering(
    rng: random.Random, factors: dict[str, list[str]], may_meet: Callable[[Row], bool]
) -> list[Row]:
    """Rows that cover all pairs of levels that may meet.

    `may_meet` is asked with rows of some of the factors and says whether they go together.
    """
    waiting: dict[tuple[Level, Level], None] = {}
    names = list(factors)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            for one in factors[first]:
                for other in factors[second]:
                    if may_meet({first: one, second: other}):
                        waiting[(first, one), (second, other)] = None
    order = list(waiting)
    rng.shuffle(order)
    rows = []
    for pair in order:
        if pair not in waiting:
            continue
        row = _grow(rng, factors, may_meet, waiting, dict(pair))
        if row is None:  # the two meet, but with no third
            del waiting[pair]
            continue
        for met in _pairs(names, row):
            waiting.pop(met, None)
        rows.append(row)
    return rows


def _grow(
    rng: random.Random,
    factors: dict[str, list[str]],
    may_meet: Callable[[Row], bool],
    waiting: dict[tuple[Level, Level], None],
    row: Row,
) -> Row | None:
    """A whole row grown from a pair, at each factor by the level that covers most."""
    names = list(factors)
    missing = [name for name in names if name not in row]
    rng.shuffle(missing)
    for name in missing:
        best: list[str] = []
        most = -1
        for level in factors[name]:
            grown = {**row, name: level}
            if not may_meet(grown):
                continue
            covers = 0
            for other, met in row.items():
                ordered = ((other, met), (name, level))
                if names.index(name) < names.index(other):
                    ordered = ((name, level), (other, met))
                covers += ordered in waiting
            if covers > most:
                best, most = [], covers
            if covers == most:
                best.append(level)
        if not best:
            return None
        row = {**row, name: rng.choice(best)}
    return row


def _pairs(names: list[str], row: Row) -> list[tuple[Level, Level]]:
    """All pairs of levels in a row, in the order of the factors."""
    found = []
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            found.append(((first, row[first]), (second, row[second])))
    return found
