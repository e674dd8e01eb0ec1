"""Numbers as people read them."""

from decimal import Context, Decimal, localcontext

# Numbers of records have up to 100 digits; Python gives up at 28 where none are asked for.
ALL_DIGITS = Context(prec=1000)


def digits(number: Decimal, *, has_decimal: bool = False) -> str:
    """Return a number: thousands apart, one decimal where it is no whole one or `has_decimal`."""
    with localcontext(ALL_DIGITS):
        return f"{number:,.1f}" if number % 1 or has_decimal else f"{number:,.0f}"
