# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True
"""Exact decimal numbers as int64 mantissas at a scale: value = mantissa / 10**scale.

Nothing here rounds: what does not fit is refused. A float is only ever made for a caller who asks for one by name.
"""

from decimal import Decimal
from operator import index

from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t

from .defs cimport OK, REFUSED, Status


cdef int64_t[19] POWERS
cdef int _i
POWERS[0] = 1
for _i in range(1, 19):
    POWERS[_i] = POWERS[_i - 1] * 10


cdef Status rescale(int64_t mantissa, int digits, int scale, int64_t* out) noexcept nogil:
    cdef int64_t factor
    if digits == scale or mantissa == 0:
        out[0] = mantissa
        return OK
    if digits < scale:
        if scale - digits > SCALE_MAX:
            return REFUSED
        factor = POWERS[scale - digits]
        if mantissa > INT64_MAX // factor or mantissa < -(INT64_MAX // factor):
            return REFUSED
        out[0] = mantissa * factor
        return OK
    if digits - scale > SCALE_MAX:
        return REFUSED
    factor = POWERS[digits - scale]
    if mantissa % factor != 0:
        return REFUSED
    out[0] = mantissa // factor
    return OK


cdef int write_fixed(char* buf, int64_t mantissa, int scale) noexcept nogil:
    # SAFE: 1 sign + max(19 digits, scale + 1) + 1 point + 1 NUL <= 48 for scale <= 38; callers keep scale <= SCALE_MAX.
    cdef char[40] digits
    cdef int count = 0, i, length = 0
    cdef uint64_t rest = <uint64_t>mantissa if mantissa >= 0 else 0 - <uint64_t>mantissa
    while rest != 0 or count <= scale:
        digits[count] = <char>(48 + rest % 10)
        rest //= 10
        count += 1
    if mantissa < 0:
        buf[0] = 45
        length = 1
    for i in range(count - 1, -1, -1):
        buf[length] = digits[i]
        length += 1
        if i == scale and scale > 0:
            buf[length] = 46
            length += 1
    buf[length] = 0
    return length


cdef object fixed_decimal(int64_t mantissa, int scale):
    # From text, because every arithmetic way to set the exponent rounds to the caller's decimal context.
    cdef char[FIXED_TEXT_MAX] buf
    cdef int length = write_fixed(buf, mantissa, scale)
    return Decimal(PyUnicode_DecodeASCII(buf, length, NULL))


cdef double fixed_float(int64_t mantissa, int scale) noexcept nogil:
    return <double>mantissa / <double>POWERS[scale]


def to_decimal(mantissa, scale):
    """Give the exact Decimal of an int64 mantissa with `scale` decimals.

    >>> to_decimal(294311, 1)
    Decimal('29431.1')
    >>> to_decimal(-5, 3)
    Decimal('-0.005')
    """
    _check_scale(scale)
    return fixed_decimal(index(mantissa), scale)       # a float raises


def to_fixed(value, scale):
    """Give the int64 mantissa of a Decimal at `scale` decimals.

    Raises:
        ValueError: the value is not finite, has more decimals than `scale`, or does not fit an int64.

    >>> to_fixed(Decimal("29431.1"), 2)
    2943110
    """
    _check_scale(scale)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise ValueError(f"{value!r} is not a finite Decimal")
    sign, digits, exponent = value.as_tuple()
    mantissa = int("".join(map(str, digits)))
    shift = exponent + scale
    if shift >= 0:
        if shift > 40 and mantissa:
            raise ValueError(f"{value} does not fit an int64 at {scale} decimals")
        mantissa = mantissa * 10 ** min(shift, 40)
    else:
        mantissa, rest = divmod(mantissa, 10 ** -shift) if shift >= -400 else (0, mantissa)
        if rest:
            raise ValueError(f"{value} has more than {scale} decimals")
    mantissa = -mantissa if sign else mantissa
    if not INT64_MIN < mantissa <= INT64_MAX:
        raise ValueError(f"{value} does not fit an int64 at {scale} decimals")
    return mantissa


cdef _check_scale(scale):
    if not 0 <= index(scale) <= SCALE_MAX:
        raise ValueError(f"scale={scale}: must be 0 to {SCALE_MAX}")
