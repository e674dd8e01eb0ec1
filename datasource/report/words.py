"""Words, numbers and days in the language of a reader."""

import tomllib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path

from datasource.digits import ALL_DIGITS, digits

MINUS = "−"
# Units whose changes are told in points, for a percentage of a percentage misleads.
IN_POINTS = ("percent", "score -100..100")
# What commas and points become where a comma stands before the decimals.
DUTCH = str.maketrans(",.", ".,")


@cache
def _texts() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Words:
    """The words of one language, `en` or `nl`."""

    language: str

    def __call__(self, text: str, *values: object, **named: object) -> str:
        """Return a text of texts.toml with values filled in."""
        return _texts()[text][self.language].format(*values, **named)

    def day(self, day: date, *, with_weekday: bool = False) -> str:
        """Return a date, such as `27 Nov 2026`, or `Friday 27 Nov 2026`."""
        month = self("months").split()[day.month - 1]
        weekday = f"{self.weekday(day)} " if with_weekday else ""
        return f"{weekday}{day.day} {month} {day.year}"

    def weekday(self, day: date) -> str:
        """Return the name of a date's weekday."""
        return self("weekdays").split()[day.weekday()]

    def digits(self, number: Decimal) -> str:
        """Return a number: thousands apart, one decimal where it is no whole number."""
        text = digits(number.copy_abs())
        text = text.translate(DUTCH) if self.language == "nl" else text
        return f"{MINUS}{text}" if number < 0 else text

    def value(self, number: Decimal | None, unit: str) -> str:
        """Return a KPI's value with its unit; a word when there is none."""
        if number is None:
            return self("none")
        text = self.digits(number)
        return self(unit, text) if unit in ("minutes", "percent") else text

    def change(self, number: Decimal | None, from_number: Decimal | None, unit: str) -> str:
        """Return the change to a number from another: in percent, in points for rates and scores.

        It is "" when there is nothing to compare with, or a percentage of 0.
        """
        if number is None or from_number is None:
            return ""
        if number == from_number:
            return self("same")
        with localcontext(ALL_DIGITS):
            if unit in IN_POINTS:
                return self("points", self._signed(number - from_number))
            if not from_number:
                return ""
            return self("percent", self._signed(100 * (number - from_number) / abs(from_number)))

    def _signed(self, number: Decimal) -> str:
        with localcontext(ALL_DIGITS):
            rounded = round(number, 1)
        return f"+{self.digits(rounded)}" if rounded >= 0 else self.digits(rounded)
