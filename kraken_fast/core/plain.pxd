"""Values as the exchange nearly always writes them, header only.

Each function reads one kind of value in its usual writing and gives NULL for any other, right or wrong: that is then
read, or refused, by grammar.pxd and rfc3339.pxd. So nothing is decided here that is not decided there as well. What
stands behind a value is the caller's to look at: a number is plain only if it is a comma or a closing brace.

Where eight bytes of one kind are likely (decimals of a quantity, a clock) they are one integer, the first of them
lowest; a text is searched for its end 16 bytes at a time. Elsewhere digits are taken one by one: a loop whose end is
guessed right does not make the next value wait for this one's length, which finding the length by arithmetic does.
Bench: benchmarks/bench_decode.py, benchmarks/bench_stores.py.

SAFE: a digit, quote or letter is never a NUL, so no loop passes the end of a text that a NUL ends; at most 16 bytes
beyond a place within it are read, and 64 readable bytes lie behind a message.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from .load cimport load8, low_bit, odd16
from .tables cimport Value


cdef enum:
    PLAIN_DIGITS = 18            # significant digits that cannot overflow


cdef inline unsigned int digit(char c) noexcept nogil:
    return <unsigned int>(<uint8_t>c) - 48       # above 9 for anything but a digit


cdef inline uint64_t others(uint64_t eight) noexcept nogil:
    """The top bit of the first byte that is no digit, 0 if all are; what is set above it means nothing."""
    cdef uint64_t units = eight ^ <uint64_t>0x3030303030303030
    return ((units + <uint64_t>0x7676767676767676) | units) & <uint64_t>0x8080808080808080


cdef inline int64_t eight_digits(uint64_t eight) noexcept nogil:
    """The number that eight digits write, the first of them highest; bytes of 0 count as the digit 0."""
    eight = (eight & <uint64_t>0x0F0F0F0F0F0F0F0F) * 2561 >> 8                  # pairs
    eight = (eight & <uint64_t>0x00FF00FF00FF00FF) * 6553601 >> 16              # fours
    return <int64_t>((eight & <uint64_t>0x0000FFFF0000FFFF) * <uint64_t>42949672960001 >> 32)


cdef inline const char* digits(const char* p, uint64_t* number) noexcept nogil:
    """Put the digits that stand here behind those of `number`; above 18 in all, it overflows and means nothing."""
    while digit(p[0]) <= 9:
        number[0] = number[0] * 10 + digit(p[0])
        p += 1
    return p


cdef inline const char* many_digits(const char* p, uint64_t* number) noexcept nogil:
    """The same, where eight digits or more are likely."""
    cdef uint64_t eight = load8(p)
    if not others(eight):
        number[0] = number[0] * 100_000_000 + eight_digits(eight)
        p += 8
    return digits(p, number)


cdef inline const char* plain_number(const char* p, int64_t* number, int* decimals) noexcept nogil:
    """A number without sign and exponent, of at most 18 digits."""
    cdef const char* begin = p
    cdef const char* point
    cdef uint64_t mantissa = digit(p[0])
    decimals[0] = 0
    if mantissa > 9 or (mantissa == 0 and digit(p[1]) <= 9):
        return NULL
    p = digits(p + 1, &mantissa)
    if p[0] == c'.':
        point = p + 1
        p = many_digits(point, &mantissa)
        decimals[0] = <int>(p - point)
        if p == point:
            return NULL
        begin += 1
    if p - begin > PLAIN_DIGITS:
        return NULL
    number[0] = <int64_t>mantissa
    return p


cdef inline const char* plain_uint(const char* p, int64_t* number) noexcept nogil:
    """An integer of at most 18 digits."""
    cdef const char* begin = p
    cdef uint64_t mantissa = 0
    p = many_digits(p, &mantissa)
    if p == begin or p - begin > PLAIN_DIGITS or (begin[0] == c'0' and p - begin > 1):
        return NULL
    number[0] = <int64_t>mantissa
    return p


cdef inline const char* plain_text(const char* p, Value* value) noexcept nogil:
    """An ASCII string without escapes of up to 64 bytes."""
    cdef unsigned int found
    cdef const char* q = p + 1
    if p[0] != c'"':
        return NULL
    while q - p < 64:
        found = odd16(q)
        if found:
            q += low_bit(found)
            if q[0] != c'"':
                return NULL
            value.text = p + 1
            value.size = <int32_t>(q - p - 1)
            return q + 1
        q += 16
    return NULL
