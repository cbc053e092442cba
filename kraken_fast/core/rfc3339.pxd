"""RFC 3339 times, header only: `2026-11-22T10:15:01.310559Z` to microseconds since epoch and the nanoseconds beyond."""

from libc.stdint cimport int64_t, uint64_t

from .grammar cimport Fault, fail, two
from .load cimport TEN_TO, load8
from .plain cimport digit, digits, eight_digits, others
from .tables cimport Value


cdef struct DateCache:
    uint64_t[2] text             # of the last date: its bytes 0 to 7 and 2 to 9
    int64_t us                   # its midnight


cdef inline int64_t days_from_civil(int64_t year, int month, int day) noexcept nogil:
    """Days since 1970-01-01 of a date in the Gregorian calendar, years from March so that leap days come last."""
    cdef int64_t y = year - (1 if month <= 2 else 0)
    cdef int64_t era = (y if y >= 0 else y - 399) // 400
    cdef int64_t year_of_era = y - era * 400
    cdef int64_t day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


cdef inline int days_in_month(int year, int month) noexcept nogil:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef inline bint date(const char* p, DateCache* cache, int64_t* us) noexcept nogil:
    """Midnight of `2026-11-22` in microseconds, remembered because nearly all messages share their date."""
    cdef unsigned int bad = 0
    cdef int year = 100 * two(p, &bad)
    cdef int month, day
    if bad:
        return False
    year += two(p + 2, &bad)
    month = two(p + 5, &bad)
    day = two(p + 8, &bad)
    if bad or p[4] != c'-' or p[7] != c'-' or not 1 <= month <= 12 or not 1 <= day <= days_in_month(year, month):
        return False
    us[0] = cache.us = days_from_civil(year, month, day) * <int64_t>86_400_000_000
    cache.text[0] = load8(p)
    cache.text[1] = load8(p + 2)
    return True


cdef inline const char* rfc3339(const char* p, Value* value, DateCache* cache, Fault* fault) noexcept nogil:
    """RFC 3339: `2026-11-22T10:15:01.310559Z`, any number of decimals (those beyond 9 are cut), any offset."""
    cdef const char* begin = p
    cdef unsigned int bad = 0, units
    cdef int hour, minute, second, decimals = 0
    cdef int64_t nanos = 0, us, offset
    if p[0] != c'"':
        return fail(fault, p, b"a time was expected")
    p += 1
    if load8(p) == cache.text[0] and load8(p + 2) == cache.text[1]:
        us = cache.us
    elif not date(p, cache, &us):
        return fail(fault, begin, b"not a date")
    hour = two(p + 11, &bad)
    minute = two(p + 14, &bad)
    second = two(p + 17, &bad)
    if (bad or hour > 23 or minute > 59 or second > 60 or (p[10] | 32) != c't'
            or p[13] != c':' or p[16] != c':'):
        return fail(fault, begin, b"not a time")
    us += (hour * 3600 + minute * 60 + second) * <int64_t>1_000_000
    p += 19
    if p[0] == c'.':
        p += 1
        while True:
            units = digit(p[0])
            if units > 9:
                break
            if decimals < 9:
                nanos = nanos * 10 + units
                decimals += 1
            p += 1
        if decimals == 0:
            return fail(fault, begin, b"not a time")
        if decimals == 6:
            nanos *= 1000
        else:
            while decimals < 9:
                nanos *= 10
                decimals += 1
    if (p[0] | 32) == c'z':
        p += 1
    elif p[0] == c'+' or p[0] == c'-':
        hour = two(p + 1, &bad)
        minute = two(p + 4, &bad)
        if bad or p[3] != c':' or hour > 23 or minute > 59:
            return fail(fault, begin, b"not a time")
        offset = (hour * 3600 + minute * 60) * <int64_t>1_000_000
        us += offset if p[0] == c'-' else -offset
        p += 6
    else:
        return fail(fault, begin, b"a time without zone")
    if p[0] != c'"':
        return fail(fault, begin, b"not a time")
    value.num = us + nanos // 1000
    value.digits = nanos % 1000
    return p + 1


cdef inline const char* plain_time(const char* p, Value* value, const DateCache* cache) noexcept nogil:
    """`2026-11-22T10:15:01.310559Z`, as nearly every message has it: on the date of the time before, in UTC. Else NULL.

    A quarter of what `rfc3339` takes, which every other writing goes to.
    """
    cdef uint64_t clock, wrong, pairs, micros, fraction = 0
    cdef unsigned int hour, minute, second
    cdef const char* end
    if p[0] != c'"' or load8(p + 1) != cache.text[0] or load8(p + 3) != cache.text[1] or p[11] != c'T':
        return NULL
    # hh:mm:ss, digits as 0 to 9 and colons as 0; a top bit in `wrong` where another byte stands.
    clock = load8(p + 12) ^ <uint64_t>0x30303A30303A3030
    wrong = (clock + <uint64_t>0x76767F76767F7676) | clock
    pairs = clock * 10 + (clock >> 8)                                # in bytes 0, 3 and 6; no byte is above 99
    hour = pairs & 0xFF
    minute = pairs >> 24 & 0xFF
    second = pairs >> 48 & 0xFF
    if wrong & <uint64_t>0x8080808080808080 or hour > 23 or minute > 59 or second > 59:
        return NULL
    value.num = cache.us + (hour * 3600 + minute * 60 + second) * <int64_t>1_000_000
    value.digits = 0
    # .ffffffZ, read in the same way.
    micros = load8(p + 20) ^ <uint64_t>0x5A3030303030302E
    wrong = (micros + <uint64_t>0x7F7676767676767F) | micros
    if not wrong & <uint64_t>0x8080808080808080:
        value.num += eight_digits(micros << 8)
        return p + 29 if p[28] == c'"' else NULL
    if p[20] != c'.':
        return NULL
    fraction = load8(p + 21)
    if not others(fraction) and digit(p[29]) <= 9 and p[30] == c'Z' and p[31] == c'"':       # .fffffffffZ
        fraction = eight_digits(fraction)
        value.num += <int64_t>(fraction // 100)
        value.digits = <int>(fraction % 100 * 10 + digit(p[29]))
        return p + 32
    fraction = 0
    end = digits(p + 21, &fraction)
    if end == p + 21 or end - p > 30 or end[0] != c'Z' or end[1] != c'"':
        return NULL
    fraction *= TEN_TO[30 - (end - p)]                               # nanoseconds
    value.num += fraction // 1000
    value.digits = fraction % 1000
    return end + 2
