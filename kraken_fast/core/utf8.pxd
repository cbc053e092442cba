"""UTF-8 validation, header only: whole messages at memory speed, and byte by byte across fragments.

The incremental form keeps what the next byte may be, not what was read: a first byte fixes how many continuation
bytes follow and the bounds of the first of them. So it refuses at the first byte that cannot be right, which is
what the fail-fast cases of the Autobahn suite (6.4) ask for, and it needs no table.
Source: the "UTF-8 decoder" steps of https://encoding.spec.whatwg.org/#utf-8-decoder; Unicode 16, table 3-7.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Copy, and tell whether no byte has its top bit set; 16 bytes at a time, the last of them twice. */
    static inline int kf_copy_ascii(char *to, const char *from, Py_ssize_t size) {
        typedef uint64_t kf_two __attribute__((vector_size(16)));
        kf_two seen = {0, 0}, two;
        Py_ssize_t i;
        if (size < 16) {
            unsigned char all = 0;
            for (i = 0; i < size; i++) all |= (unsigned char)(to[i] = from[i]);
            return all < 0x80;
        }
        for (i = 0; i < size - 32; i += 32) {
            kf_two next;
            memcpy(&two, from + i, 16);
            memcpy(&next, from + i + 16, 16);
            memcpy(to + i, &two, 16);
            memcpy(to + i + 16, &next, 16);
            seen |= two | next;
        }
        for (; i < size - 16; i += 16) {
            memcpy(&two, from + i, 16);
            memcpy(to + i, &two, 16);
            seen |= two;
        }
        memcpy(&two, from + size - 16, 16);
        memcpy(to + size - 16, &two, 16);
        seen |= two;
        return ((seen[0] | seen[1]) & 0x8080808080808080u) == 0;
    }
    """
    bint copy_ascii "kf_copy_ascii"(char* to, const char* data, Py_ssize_t size) noexcept nogil


cdef struct Utf8State:
    uint8_t need    # continuation bytes still to come; 0 between characters
    uint8_t low     # bounds of the next continuation byte, when need > 0
    uint8_t high


cdef inline bint is_ascii(const char* data, Py_ssize_t size) noexcept nogil:
    """Tell whether no byte has its top bit set. No early exit: the compiler turns the loop into 16-byte steps."""
    cdef Py_ssize_t i
    cdef uint8_t seen = 0
    for i in range(size):
        # SAFE: i < size, the caller's bound.
        seen |= <uint8_t>data[i]
    return seen < 0x80


cdef inline bint utf8_feed(Utf8State* state, const char* data, Py_ssize_t size) noexcept nogil:
    """Continue with the next bytes. False: no continuation can make them UTF-8; the state is spent then."""
    cdef Py_ssize_t i = 0
    cdef uint8_t byte
    cdef uint64_t eight
    while i < size:
        if state.need == 0 and size - i >= 8:
            # SAFE: eight bytes are left.
            memcpy(&eight, data + i, 8)
            if eight & <uint64_t>0x8080808080808080 == 0:
                i += 8
                continue
        # SAFE: i < size.
        byte = <uint8_t>data[i]
        i += 1
        if state.need > 0:
            if byte < state.low or byte > state.high:
                return False
            state.need -= 1
            state.low = 0x80
            state.high = 0xBF
        elif byte >= 0x80:
            if not _utf8_begin(state, byte):
                return False
    return True


cdef inline bint _utf8_begin(Utf8State* state, uint8_t byte) noexcept nogil:
    state.low = 0x80
    state.high = 0xBF
    if 0xC2 <= byte <= 0xDF:        # C0 and C1 could only begin overlong forms
        state.need = 1
    elif 0xE0 <= byte <= 0xEF:
        state.need = 2
        if byte == 0xE0:
            state.low = 0xA0        # below: overlong
        elif byte == 0xED:
            state.high = 0x9F       # above: surrogates
    elif 0xF0 <= byte <= 0xF4:
        state.need = 3
        if byte == 0xF0:
            state.low = 0x90        # below: overlong
        elif byte == 0xF4:
            state.high = 0x8F       # above: beyond U+10FFFF
    else:
        return False
    return True


cdef inline bint valid_utf8(const char* data, Py_ssize_t size) noexcept nogil:
    """Tell whether the bytes are complete UTF-8. The empty text is."""
    cdef Utf8State state
    if is_ascii(data, size):
        return True
    state.need = 0
    return utf8_feed(&state, data, size) and state.need == 0
