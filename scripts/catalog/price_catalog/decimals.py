"""Prices as decimal texts: no binary float, no exponent, no trailing zeros."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

# A price with more digits than this behind the point is a binary float that was printed.
LONGEST_HONEST_FRACTION = 8
CLOSE_ENOUGH = Decimal("1e-12")


def text(value: Decimal) -> str:
    """The shortest plain notation: 2.50 is "2.5", 1E+1 is "10"."""
    if value == 0:
        return "0"
    return f"{value.normalize():f}"


def without_float_noise(value: Decimal) -> Decimal:
    """The decimal with the fewest digits that differs by no more than 1e-12 of the value."""
    if -int(value.as_tuple().exponent) <= LONGEST_HONEST_FRACTION:
        return value
    for digits in range(1, 30):
        candidate = Context(prec=digits, rounding=ROUND_HALF_EVEN).plus(value)
        if abs(candidate - value) <= value * CLOSE_ENOUGH:
            return candidate
    return value
