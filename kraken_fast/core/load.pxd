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
    /* How many bits v has that are set. */
    static inline int kf_count_bits(uint64_t v) {
        v -= v >> 1 & 0x5555555555555555u;
        v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
        return (int)(((v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
    }
    /* A bit for each of 16 bytes that a plain string does not hold: quotes, backslashes, control characters, and all
       beyond ASCII. The lowest bit is right; what is set above it means nothing where no SSE2 is. */
    #if defined(__SSE2__)
    #include <emmintrin.h>
    static inline unsigned int kf_odd16(const char *p) {
        __m128i text = _mm_loadu_si128((const __m128i *)p);
        __m128i odd = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('"')), _mm_cmpeq_epi8(text, _mm_set1_epi8('\\\\'))),
            _mm_cmplt_epi8(text, _mm_set1_epi8(0x20)));     /* signed: what lies beyond ASCII is negative */
        return (unsigned int)_mm_movemask_epi8(odd);
    }
    #else
    static inline uint64_t kf_odd8(uint64_t v) {
        return (((v ^ 0x2222222222222222u) - 0x0101010101010101u) | ((v ^ 0x5C5C5C5C5C5C5C5Cu) - 0x0101010101010101u)
                | (v - 0x2020202020202020u) | v) & 0x8080808080808080u;
    }
    static inline unsigned int kf_odd16(const char *p) {
        uint64_t odd = kf_odd8(kf_load8(p));
        if (odd) return 1u << (kf_low_bit(odd) >> 3);
        odd = kf_odd8(kf_load8(p + 8));
        return odd ? 256u << (kf_low_bit(odd) >> 3) : 0;
    }
    #endif
    __attribute__((unused)) static const int64_t kf_ten_to[19] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000,
        1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
        1000000000000000000,
    };
    """
    uint64_t load8 "kf_load8"(const char* p) noexcept nogil
    unsigned int low_bit "kf_low_bit"(uint64_t v) noexcept nogil
    int count_bits "kf_count_bits"(uint64_t v) noexcept nogil
    unsigned int odd16 "kf_odd16"(const char* p) noexcept nogil
    unsigned int bit_length "kf_bit_length"(uint64_t v) noexcept nogil
    const int64_t[19] TEN_TO "kf_ten_to"
