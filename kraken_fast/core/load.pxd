"""Unaligned loads and bits, header only."""

from libc.stdint cimport int64_t, uint64_t


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Eight bytes as an integer, the first of them lowest, whatever the machine's own order. */
    static inline uint64_t kf_load8(const char *p) {
        uint64_t v;
        memcpy(&v, p, 8);
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        v = __builtin_bswap64(v);
    #endif
        return v;
    }
    /* The place of the lowest bit that is set; v is not 0. */
    static inline unsigned int kf_low_bit(uint64_t v) { return (unsigned int)__builtin_ctzll(v); }
    /* How many bits v has; v is not 0. */
    static inline unsigned int kf_bit_length(uint64_t v) { return 64u - (unsigned int)__builtin_clzll(v); }
    __attribute__((unused)) static const int64_t kf_ten_to[19] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000,
        1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
        1000000000000000000,
    };
    """
    uint64_t load8 "kf_load8"(const char* p) noexcept nogil
    unsigned int low_bit "kf_low_bit"(uint64_t v) noexcept nogil
    unsigned int bit_length "kf_bit_length"(uint64_t v) noexcept nogil
    const int64_t[19] TEN_TO "kf_ten_to"
