"""JSON's own rules, header only: space, numbers, escapes, and passing over what nobody asked for.

Functions take the place in the text and return the place behind what they read, or NULL after `fail`.
SAFE: the text ends in a NUL that no rule accepts, so no loop passes the end.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from .plain cimport digit
from .tables cimport NUMBER_CUT, NUMBER_WIDE, Value


cdef enum:
    DEPTH_MAX = 32               # nesting; the exchange's deepest message has 6
    DIGITS_MAX = 38              # significant digits of one number
    DECIMALS_MAX = 400           # beyond, a number is noise

cdef extern from *:
    """
    typedef unsigned __int128 kf_uint128;
    """
    ctypedef unsigned long long kf_uint128     # 128 bits wide in C


cdef struct Fault:
    # What went wrong, and where.
    const char* at
    const char* reason


cdef inline const char* fail(Fault* fault, const char* p, const char* reason) noexcept nogil:
    fault.at = p
    fault.reason = reason
    return NULL


cdef inline bint is_space(char c) noexcept nogil:
    return c == c' ' or c == c'\n' or c == c'\r' or c == c'\t'


cdef inline const char* past_space(const char* p) noexcept nogil:
    while is_space(p[0]):
        p += 1
    return p


cdef inline const char* settle(
    const char* p, Value* value, kf_uint128 mantissa, int zeros, int decimals, bint negative,
) noexcept nogil:
    """Write mantissa * 10**zeros / 10**decimals into `value`, with as many of the zeros as fit."""
    value.form = 0
    if mantissa == 0:
        value.num = 0
        value.digits = <int>max(0, min(decimals, 18))
        value.form = NUMBER_CUT if decimals > 18 else 0
        return p
    while zeros and (decimals < zeros or mantissa <= <kf_uint128>(INT64_MAX // 10)):
        # Zeros before the point must be taken, zeros behind it only keep the number of decimals.
        if mantissa > <kf_uint128>INT64_MAX:
            break
        mantissa *= 10
        zeros -= 1
    decimals -= zeros
    while decimals < 0 and mantissa <= <kf_uint128>INT64_MAX:
        mantissa *= 10
        decimals += 1
    if mantissa > <kf_uint128>INT64_MAX or decimals < 0:
        value.form = NUMBER_WIDE
        return p
    if zeros:
        value.form = NUMBER_CUT
    value.num = -<int64_t>mantissa if negative else <int64_t>mantissa
    value.digits = decimals
    return p


cdef inline const char* number(const char* p, Value* value, Fault* fault) noexcept nogil:
    """Any JSON number, exactly: mantissa and decimals, or its text when it does not fit an int64."""
    cdef const char* begin = p
    cdef kf_uint128 mantissa = 0
    cdef bint negative = p[0] == c'-'
    cdef int significant = 0, decimals = 0, zeros = 0, exponent = 0, count = 0
    cdef bint down = False
    cdef unsigned int units
    p += negative
    if p[0] == c'0' and digit(p[1]) <= 9:
        return fail(fault, p, b"a number begins with a zero too many")
    while True:                                      # digits before and behind the point, as one run
        units = digit(p[0])
        if units > 9:
            if p[0] != c'.' or decimals or count == 0:
                break
            decimals = 1                             # counted from one while the point is behind us
            p += 1
            continue
        count += 1
        if decimals:
            decimals += 1
        p += 1
        if units == 0:
            zeros += 1                               # held back: trailing ones may not be needed to fit
            continue
        if significant:
            significant += zeros
        significant += 1
        if significant > DIGITS_MAX or decimals > DECIMALS_MAX:
            return fail(fault, begin, b"a number has too many digits")
        while zeros:
            mantissa *= 10
            zeros -= 1
        mantissa = mantissa * 10 + units
    if count == 0:
        return fail(fault, p, b"a number was expected")
    if (significant and significant + zeros > DIGITS_MAX) or decimals > DECIMALS_MAX:
        return fail(fault, begin, b"a number has too many digits")
    if (p - 1)[0] == c'.' and (p[0] | 32) == c'e':      # SAFE: at least one digit lies before p
        return fail(fault, p, b"a digit was expected")
    if decimals:
        decimals -= 1
    if p[0] == c'e' or p[0] == c'E':
        p += 1
        down = p[0] == c'-'
        if p[0] == c'-' or p[0] == c'+':
            p += 1
        if digit(p[0]) > 9:
            return fail(fault, p, b"an exponent was expected")
        while digit(p[0]) <= 9:
            exponent = min(exponent * 10 + <int>digit(p[0]), 9 * DECIMALS_MAX)
            p += 1
        if exponent > DECIMALS_MAX:
            return fail(fault, begin, b"a number has too many digits")
        decimals += exponent if down else -exponent
    value.text = begin
    value.size = <int32_t>(p - begin)
    return settle(p, value, mantissa, zeros, decimals, negative)


cdef inline const char* uint(const char* p, Value* value, Fault* fault) noexcept nogil:
    cdef const char* begin = p
    cdef uint64_t number = 0
    cdef unsigned int units
    if p[0] == c'0' and digit(p[1]) <= 9:
        return fail(fault, p, b"a number begins with a zero too many")
    while True:
        units = digit(p[0])
        if units > 9:
            break
        if p - begin >= 19 and (number > <uint64_t>-1 // 10 or (number == <uint64_t>-1 // 10 and units > 5)):
            return fail(fault, begin, b"an integer does not fit 64 bits")
        number = number * 10 + units
        p += 1
    if p == begin or p[0] == c'.' or p[0] == c'e' or p[0] == c'E':
        return fail(fault, p, b"an integer was expected")
    value.num = <int64_t>number
    return p


cdef inline int two(const char* p, unsigned int* bad) noexcept nogil:
    cdef unsigned int tens = digit(p[0])
    cdef unsigned int units = digit(p[1])
    bad[0] |= (tens > 9) | (units > 9)
    return <int>(tens * 10 + units)


cdef inline uint32_t simple_escape(char c) noexcept nogil:
    if c == c'"' or c == c'\\' or c == c'/':
        return <uint8_t>c
    if c == c'n':
        return 10
    if c == c't':
        return 9
    if c == c'r':
        return 13
    if c == c'b':
        return 8
    if c == c'f':
        return 12
    return 0


cdef inline bint hex4(const char* p, uint32_t* code) noexcept nogil:
    cdef int i
    cdef uint32_t c
    code[0] = 0
    for i in range(4):
        c = <uint8_t>p[i]
        if 48 <= c <= 57:
            c -= 48
        elif 97 <= (c | 32) <= 102:
            c = (c | 32) - 87
        else:
            return False
        code[0] = code[0] << 4 | c
    return True


cdef inline int write_utf8(char* out, uint32_t code) noexcept nogil:
    if code < 0x80:
        out[0] = <char>code
        return 1
    if code < 0x800:
        out[0] = <char>(0xC0 | code >> 6)
        out[1] = <char>(0x80 | (code & 63))
        return 2
    if code < 0x10000:
        out[0] = <char>(0xE0 | code >> 12)
        out[1] = <char>(0x80 | (code >> 6 & 63))
        out[2] = <char>(0x80 | (code & 63))
        return 3
    out[0] = <char>(0xF0 | code >> 18)
    out[1] = <char>(0x80 | (code >> 12 & 63))
    out[2] = <char>(0x80 | (code >> 6 & 63))
    out[3] = <char>(0x80 | (code & 63))
    return 4


cdef inline const char* skip_string(const char* p, Fault* fault) noexcept nogil:
    cdef uint32_t code
    p += 1
    while p[0] != c'"':
        if <uint8_t>p[0] < 32:
            return fail(fault, p, b"a string does not end")
        if p[0] == c'\\':
            p += 1
            if p[0] == c'u':
                if not hex4(p + 1, &code):
                    return fail(fault, p, b"an unknown escape")
                p += 4
            elif not simple_escape(p[0]):
                return fail(fault, p, b"an unknown escape")
        p += 1
    return p + 1


cdef inline const char* skip_number(const char* p, Fault* fault) noexcept nogil:
    cdef const char* begin
    if p[0] == c'-':
        p += 1
    if digit(p[0]) > 9 or (p[0] == c'0' and digit(p[1]) <= 9):
        return fail(fault, p, b"a value was expected")
    while digit(p[0]) <= 9:
        p += 1
    if p[0] == c'.':
        begin = p + 1
        p += 1
        while digit(p[0]) <= 9:
            p += 1
        if p == begin:
            return fail(fault, p, b"a digit was expected")
    if p[0] == c'e' or p[0] == c'E':
        p += 1
        if p[0] == c'-' or p[0] == c'+':
            p += 1
        if digit(p[0]) > 9:
            return fail(fault, p, b"an exponent was expected")
        while digit(p[0]) <= 9:
            p += 1
    return p


cdef inline const char* skip_key(const char* p, Fault* fault) noexcept nogil:
    if p[0] != c'"':
        return fail(fault, p, b"a key was expected")
    p = skip_string(p, fault)
    if p is NULL:
        return NULL
    p = past_space(p)
    if p[0] != c':':
        return fail(fault, p, b"a colon was expected")
    return p + 1


cdef inline const char* skip(const char* p, Fault* fault) noexcept nogil:
    """Check any JSON value and pass over it. `kinds` holds a bit for each open bracket: 1 for an object."""
    cdef uint64_t kinds = 0
    cdef int depth = 0
    cdef Value unused
    while True:
        p = past_space(p)
        if p[0] == c'{' or p[0] == c'[':
            if depth == DEPTH_MAX:
                return fail(fault, p, b"nested too deeply")
            kinds = kinds << 1 | (p[0] == c'{')
            depth += 1
            p = past_space(p + 1)
            if p[0] != (c'}' if kinds & 1 else c']'):
                if kinds & 1:
                    p = skip_key(p, fault)
                    if p is NULL:
                        return NULL
                continue
        elif p[0] == c'"':
            p = skip_string(p, fault)
            if p is NULL:
                return NULL
        elif memcmp(p, b"true", 4) == 0 or memcmp(p, b"null", 4) == 0:
            p += 4
        elif memcmp(p, b"false", 5) == 0:
            p += 5
        else:
            p = skip_number(p, fault)
            if p is NULL:
                return NULL
        while depth:                                  # a value has ended: close what ends with it
            p = past_space(p)
            if p[0] == c',':
                p += 1
                if kinds & 1:
                    p = skip_key(past_space(p), fault)
                    if p is NULL:
                        return NULL
                break
            if p[0] != (c'}' if kinds & 1 else c']'):
                return fail(fault, p, b"a comma or a closing bracket was expected")
            p += 1
            kinds >>= 1
            depth -= 1
        else:
            return p
