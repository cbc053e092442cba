"""Values as the exchange nearly always writes them, header only: read eight bytes at a time.

Each function reads one kind of value in its usual writing and gives NULL for any other, right or wrong: that is then
read, or refused, by grammar.pxd and rfc3339.pxd. So nothing is decided here that is not decided there as well.

Eight bytes are one integer, the first of them lowest. Lengths are found and digits put together without a branch for
each: among many symbols, whose prices differ in length, a loop's end is guessed wrong nearly every time.
Bench: benchmarks/bench_decode.py, 1,000 symbols.

SAFE: at most 16 bytes beyond a place that holds text are read; 64 readable bytes lie behind a message.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from .load cimport TEN_TO, load8, low_bit
from .tables cimport Value


cdef enum:
    PLAIN_DIGITS = 18            # significant digits that cannot overflow


cdef inline uint64_t others(uint64_t eight) noexcept nogil:
    """The top bit of the first byte that is no digit, 0 if all are; what is set above it means nothing."""
    cdef uint64_t units = eight ^ <uint64_t>0x3030303030303030
    return ((units + <uint64_t>0x7676767676767676) | units) & <uint64_t>0x8080808080808080


cdef inline int64_t eight_digits(uint64_t eight) noexcept nogil:
    """The number that eight digits write, the first of them highest; bytes of 0 count as the digit 0."""
    eight = (eight & <uint64_t>0x0F0F0F0F0F0F0F0F) * 2561 >> 8                  # pairs
    eight = (eight & <uint64_t>0x00FF00FF00FF00FF) * 6553601 >> 16              # fours
    return <int64_t>((eight & <uint64_t>0x0000FFFF0000FFFF) * <uint64_t>42949672960001 >> 32)


cdef inline const char* digits(const char* p, int64_t* number) noexcept nogil:
    """Up to 16 digits; the place behind them, `p` itself if there is none. The 17th digit is not looked at."""
    cdef uint64_t eight = load8(p)
    cdef uint64_t other = others(eight)
    cdef unsigned int last
    if other:
        last = low_bit(other)                            # 7 for no digit, 63 for seven
        number[0] = eight_digits((eight << 8) << (63 - last))
        return p + (last >> 3)
    number[0] = eight_digits(eight)
    p += 8
    if <uint8_t>(p[0] - 48) > 9:
        return p
    eight = load8(p)
    other = others(eight)
    if other:
        last = low_bit(other)
        number[0] = number[0] * TEN_TO[last >> 3] + eight_digits((eight << 8) << (63 - last))
        return p + (last >> 3)
    number[0] = number[0] * 100_000_000 + eight_digits(eight)
    return p + 8


cdef inline const char* plain_number(const char* p, int64_t* number, int* decimals) noexcept nogil:
    """A number without sign and exponent, of at most 18 digits."""
    cdef int64_t part
    cdef const char* point = digits(p, number)
    cdef const char* end = point
    decimals[0] = 0
    if point == p or (p[0] == c'0' and point - p > 1):
        return NULL
    if point[0] == c'.':
        end = digits(point + 1, &part)
        decimals[0] = <int>(end - point) - 1
        if decimals[0] == 0 or end - p > PLAIN_DIGITS + 1:
            return NULL
        number[0] = number[0] * TEN_TO[decimals[0]] + part
    if (end[0] | 32) == c'e' or <uint8_t>(end[0] - 48) <= 9:
        return NULL
    return end


cdef inline const char* plain_uint(const char* p, int64_t* number) noexcept nogil:
    """An integer of at most 16 digits."""
    cdef const char* end = digits(p, number)
    if (end == p or (p[0] == c'0' and end - p > 1)
            or end[0] == c'.' or (end[0] | 32) == c'e' or <uint8_t>(end[0] - 48) <= 9):
        return NULL
    return end


cdef inline const char* plain_text(const char* p, Value* value) noexcept nogil:
    """A string without escapes of up to 64 bytes."""
    cdef uint64_t eight, quote, slash, found
    cdef const char* q = p + 1
    if p[0] != c'"':
        return NULL
    while q - p < 64:
        eight = load8(q)
        quote = eight ^ <uint64_t>0x2222222222222222
        slash = eight ^ <uint64_t>0x5C5C5C5C5C5C5C5C
        # In each of the three the lowest bit set belongs to a quote, a backslash, a control character.
        found = (
            ((quote - <uint64_t>0x0101010101010101) & ~quote)
            | ((slash - <uint64_t>0x0101010101010101) & ~slash)
            | ((eight - <uint64_t>0x2020202020202020) & ~eight)
        ) & <uint64_t>0x8080808080808080
        if found:
            q += low_bit(found) >> 3
            if q[0] != c'"':
                return NULL
            value.text = p + 1
            value.size = <int32_t>(q - p - 1)
            return q + 1
        q += 8
    return NULL
