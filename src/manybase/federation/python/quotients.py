"""Quotients: division of exact numbers with as many digits as the databases give.

PostgreSQL: ``select_div_scale`` in src/backend/utils/adt/numeric.c (16 significant digits, counted in base 10,000).
MySQL: div_precision_increment, four digits more than the dividend has.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal

EXACT = Context(prec=4_000, rounding=ROUND_HALF_UP, Emax=MAX_EMAX, Emin=MIN_EMIN)
SIGNIFICANT, GROUP = 16, 4


def significant(dividend: Decimal, divisor: Decimal) -> Decimal:
    """As PostgreSQL divides numeric by numeric."""
    if not (dividend.is_finite() and divisor.is_finite()):
        if dividend.is_nan() or divisor.is_nan() or dividend.is_infinite() == divisor.is_infinite():
            return Decimal("NaN")
        return EXACT.divide(dividend, divisor) if dividend.is_infinite() else Decimal(0)
    weight, first = leading(dividend)
    other, its_first = leading(divisor)
    quotient = weight - other - (first <= its_first)
    digits = max(SIGNIFICANT - quotient * GROUP, scale_of(dividend), scale_of(divisor), 0)
    return rounded(dividend, divisor, min(digits, 1_000))


def scaled(dividend: Decimal, divisor: Decimal) -> Decimal:
    """As MySQL divides decimal by decimal."""
    return rounded(dividend, divisor, scale_of(dividend) + 4)


def rounded(dividend: Decimal, divisor: Decimal, digits: int) -> Decimal:
    return EXACT.quantize(EXACT.divide(dividend, divisor), Decimal(1).scaleb(-digits))


def scale_of(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def leading(number: Decimal) -> tuple[int, int]:
    """How many groups of four digits lie before the point, less one, and the value of the first one."""
    if not number:
        return 0, 0
    weight = number.adjusted() // GROUP
    return weight, int(abs(number).scaleb(-weight * GROUP, EXACT))
