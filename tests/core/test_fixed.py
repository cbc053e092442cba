"""Decimal text, int64 mantissas and back: exact, or refused."""

from __future__ import annotations

from decimal import Decimal, localcontext
from random import Random
from typing import Any

import pytest
from report import note

from kraken_fast.core.fixed import to_decimal, to_fixed

LARGEST = 2**63 - 1


def test_round_trips_against_decimal() -> None:
    random, cases = Random(11), 0
    for _ in range(60_000):
        mantissa = random.randrange(-(2 ** random.randrange(1, 64)) + 1, 2 ** random.randrange(1, 64))
        scale = random.randrange(19)
        value = to_decimal(mantissa, scale)
        assert value == Decimal(f"{mantissa}E-{scale}")
        assert value.as_tuple().exponent == -scale
        assert to_fixed(value, scale) == mantissa
        other = random.randrange(19)
        exact = Decimal(f"{mantissa}E{other - scale}")
        fits = (
            exact == exact.to_integral_value() and abs(exact) <= LARGEST if abs(mantissa) < 10**27 else False
        )
        try:
            assert to_fixed(value, other) == exact
            assert fits
        except ValueError:
            assert not fits, (mantissa, scale, other)
        cases += 2
    note("fixed-point cases compared with Decimal", cases)
    assert cases >= 100_000


@pytest.mark.parametrize(
    "text", ["0", "-0", "0E-400", "0E+400", "1E-18", "9223372036854775807", "-9.223372036854775807"]
)
def test_extremes_fit(text: str) -> None:
    scale = 18 if "E-18" in text or "." in text else 0
    assert to_decimal(to_fixed(Decimal(text), scale), scale) == Decimal(text)


@pytest.mark.parametrize(
    ("value", "scale"),
    [
        ("9223372036854775808", 0), ("-9223372036854775808", 0), ("1E+19", 0), ("1E+400", 0), ("1E+999999",
        18), ("9.3", 18),
        ("0.1", 0), ("1E-19", 18), ("1E-999999", 18), ("1.0000000000000000000000001", 18), ("NaN", 2), ("sNaN", 2),
        ("Infinity", 2), ("-Infinity", 2),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_not_rounded(value: str, scale: int) -> None:
    with pytest.raises(ValueError, match=r"fit|decimals|finite"):
        to_fixed(Decimal(value), scale)


@pytest.mark.parametrize("value", [1.5, "1.5", 3, None, float("nan")])
def test_only_a_decimal_is_taken(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        to_fixed(value, 2)


@pytest.mark.parametrize("scale", [-1, 19, 2**40])
def test_scale_is_bounded(scale: int) -> None:
    with pytest.raises(ValueError, match="0 to 18"):
        to_fixed(Decimal(1), scale)
    with pytest.raises(ValueError, match="0 to 18"):
        to_decimal(1, scale)


def test_a_mantissa_is_an_int64() -> None:
    assert to_decimal(-(2**63), 18) == Decimal("-9.223372036854775808")
    with pytest.raises(OverflowError):
        to_decimal(2**63, 0)
    with pytest.raises(TypeError):
        to_decimal(1.5, 0)  # type: ignore[arg-type]


def test_the_callers_context_changes_nothing() -> None:
    with localcontext(prec=3, Emax=5, Emin=-5):
        assert str(to_decimal(123456789, 4)) == "12345.6789"
        assert to_fixed(Decimal("12345.6789"), 4) == 123456789
        with pytest.raises(ValueError, match="decimals"):
            to_fixed(Decimal("12345.6789"), 3)
