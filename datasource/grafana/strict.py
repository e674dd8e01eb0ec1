"""Tables of TOML files, read strictly into frozen dataclasses; every mistake is told at once."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from datasource.catalog import DefinitionError

Made = TypeVar("Made")


class SpecError(DefinitionError):
    """Files that cannot be used: each mistake with its file, place and key, a line each."""

    def __init__(self, mistakes: Collection[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(self.mistakes))


@dataclass
class Reader:
    """Reads the tables of one file.

    `vocabulary`: the words that a NewType stands for, such as all ids of KPIs. `kinds`: for a
    base class the classes that a table's key `kind` chooses from. `mistakes` collects what is
    wrong; a value that could not be read is None.
    """

    file: str
    vocabulary: Mapping[Any, Collection[str]] = field(default_factory=dict)
    kinds: Mapping[type, Mapping[str, type]] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def refuse(self, place: str, words: str) -> None:
        """Note a mistake at a place of the file."""
        self.mistakes.append(f"{self.file}: {place}: {words}" if place else f"{self.file}: {words}")

    def read(self, cls: type[Made], told: object, place: str = "") -> Made | None:
        """Read a table into a dataclass, or into the one of its kinds that the table names."""
        if not isinstance(told, dict):
            self.refuse(place, f"expected a table, got {told!r}")
            return None
        given, chosen = dict(told), cls
        if cls in self.kinds:
            kind = given.pop("kind", None)
            if kind not in self.kinds[cls]:
                self.refuse(place, _unknown("kind", kind, self.kinds[cls]))
                return None
            chosen = self.kinds[cls][kind]
        before = len(self.mistakes)
        arguments = self._arguments(chosen, given, place)
        if len(self.mistakes) > before:
            return None
        try:
            return chosen(**arguments)
        except ValueError as error:
            self.refuse(place, str(error))
            return None

    def _arguments(self, cls: type, given: dict[str, Any], place: str) -> dict[str, Any]:
        assert is_dataclass(cls)
        hints, known = get_type_hints(cls), {one.name: one for one in fields(cls) if one.init}
        for name in given.keys() - known.keys():
            self.refuse(place, _unknown("key", name, known))
        for name, one in known.items():
            if name not in given and one.default is MISSING and one.default_factory is MISSING:
                self.refuse(place, f"the key {name!r} is missing")
        return {
            name: self._value(hints[name], given[name], f"{place}, {name}" if place else name)
            for name in known
            if name in given
        }

    def _value(self, wanted: Any, told: object, place: str) -> Any:
        """Read a value as the annotation of its field wants it."""
        if isinstance(wanted, NewType):
            return self._word(wanted, told, place)
        if get_origin(wanted) in (UnionType, Union):
            [wanted] = [one for one in get_args(wanted) if one is not type(None)]
            return self._value(wanted, told, place)
        if is_dataclass(wanted):
            assert isinstance(wanted, type)
            return self.read(wanted, told, place)
        composed: Callable[[Any, object, str], Any] | None = {
            Literal: self._choice,
            tuple: self._list,
            dict: self._table,
        }.get(get_origin(wanted) or wanted)
        if composed:
            return composed(wanted, told, place)
        if wanted is float and type(told) is int:
            return float(told)
        if type(told) is not wanted:
            self.refuse(place, f"expected {wanted.__name__}, got {told!r}")
            return None
        return told

    def _word(self, wanted: NewType, told: object, place: str) -> str | None:
        if not isinstance(told, str) or told not in self.vocabulary[wanted]:
            self.refuse(place, _unknown(wanted.__name__, told, self.vocabulary[wanted]))
            return None
        return told

    def _choice(self, wanted: Any, told: object, place: str) -> object:
        if told not in get_args(wanted):
            self.refuse(place, _unknown("value", told, get_args(wanted)))
            return None
        return told

    def _list(self, wanted: Any, told: object, place: str) -> tuple[Any, ...]:
        item, _ = get_args(wanted)
        if not isinstance(told, list):
            self.refuse(place, f"expected a list, got {told!r}")
            return ()
        return tuple(
            self._value(item, one, f"{place} {_name(one, number)}")
            for number, one in enumerate(told, 1)
        )

    def _table(self, wanted: Any, told: object, place: str) -> dict[str, Any]:
        key_type, value_type = get_args(wanted)
        if not isinstance(told, dict):
            self.refuse(place, f"expected a table, got {told!r}")
            return {}
        return {
            self._value(key_type, name, place): self._value(value_type, one, f"{place}, {name}")
            for name, one in told.items()
        }


def _name(told: object, number: int) -> str:
    """Return how a mistake names an element of a list: by its key where it has one."""
    key = told.get("key") if isinstance(told, dict) else None
    return f"{number} ({key})" if key else str(number)


def _unknown(what: str, told: object, known: Collection[str]) -> str:
    words = f"unknown {what} {told!r}"
    if near := get_close_matches(str(told), [str(one) for one in known], 1):
        words += f"; did you mean {near[0]!r}?"
    return words
