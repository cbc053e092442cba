# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True
"""The exchange's book checksum from integers, without ever writing the text that it is defined over.

Theory. The checksum is CRC-32 over the digits of price and qty of the ten best asks and bids. A CRC register that
starts at 0 ("raw") is linear: the raw CRC of a text is the XOR of what each byte contributes at its distance from the
end, and that of `A` followed by `B` is raw(A) shifted over len(B) zero bytes, XOR raw(B). So
  - the token of a level is a sum of table entries, one for each pair of digits (`level_token`). They count what a
    digit differs from the digit 0, so that zeros in front add nothing, and a text of zeros is added in the end;
  - a side is the sum of its tokens, each shifted over the digits behind it (`join_tokens`);
  - the register's start value and final inversion depend on the total length alone (`finish`).
Shifting over n bytes multiplies by x**(8n) modulo the CRC polynomial: one carry-less multiplication where the CPU has
the instruction (the ten products of a side are summed before the one reduction), table look-ups elsewhere. Both paths
are chosen at run time and held to the same tests.

Bench: benchmarks/bench_checksum.py.
"""

from operator import index

from libc.stdint cimport int64_t, uint32_t, uint64_t

from .load cimport TEN_TO, bit_length


cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <wmmintrin.h>
    static int kf_has_clmul(void) { __builtin_cpu_init(); return __builtin_cpu_supports("pclmul") != 0; }
    /* Products over GF(2), unreduced. No -march: only these functions are compiled for the instruction. */
    #define KF_CLMUL __attribute__((target("pclmul,sse4.1")))
    KF_CLMUL static uint64_t kf_clmul(uint32_t a, uint32_t b) {
        return (uint64_t)_mm_cvtsi128_si64(
            _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0));
    }
    /* Sum of tokens, pairs of (crc, length), the last of them first, each by the power of the length behind it. */
    KF_CLMUL static uint64_t kf_clmul_join(const uint32_t *pairs, int count, const uint32_t *powers, uint32_t *length) {
        __m128i sum = _mm_setzero_si128();
        uint32_t behind = 0;
        for (const uint32_t *pair = pairs + 2 * count; pair != pairs; behind += pair[1]) {
            pair -= 2;
            sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(
                _mm_cvtsi32_si128((int)pair[0]), _mm_cvtsi32_si128((int)powers[behind]), 0));
        }
        *length = behind;
        return (uint64_t)_mm_cvtsi128_si64(sum);
    }
    #else
    static int kf_has_clmul(void) { return 0; }
    static uint64_t kf_clmul(uint32_t a, uint32_t b) { (void)a; (void)b; return 0; }
    static uint64_t kf_clmul_join(const uint32_t *pairs, int count, const uint32_t *powers, uint32_t *length) {
        (void)pairs; (void)count; (void)powers; *length = 0;
        return 0;
    }
    #endif
    """
    int kf_has_clmul() noexcept nogil
    uint64_t kf_clmul(uint32_t a, uint32_t b) noexcept nogil
    uint64_t kf_clmul_join(const uint32_t* pairs, int count, const uint32_t* powers, uint32_t* length) noexcept nogil


cdef enum:
    SIDE_TEXT_MAX = 380              # TOP * LEVEL_TEXT_MAX
    BOOK_TEXT_MAX = 760
    POWERS = 4_096                   # a level-3 book has nearly always fewer digits in its ten best

cdef uint32_t POLYNOMIAL = 0xEDB88320    # CRC-32 (IEEE 802.3), bit-reflected, as in zlib

# Constants, filled once below: 18 KB for tokens, 16 KB of powers, 220 KB for the portable path.
cdef uint32_t[44][100] PAIR          # [k][v]: digits v // 10 and v % 10 with k bytes behind them, less that of 00
cdef uint32_t[39] ZEROS              # [n]: n digits 0
cdef uint32_t[POWERS] POWER          # x**(8n) mod P, bit-reflected
cdef uint32_t[POWERS] START          # register of all ones, shifted over n bytes
cdef uint32_t[4][256] REDUCE         # [j][b]: byte j of a register, shifted over 4 bytes
cdef uint32_t[39][4][256] SHIFT      # [n][j][b]: the same over n bytes
cdef uint32_t[12][4][256] SHIFT32    # [n][j][b]: the same over 32n bytes


cdef bint HAS_CLMUL = kf_has_clmul()


cdef uint32_t _crc_byte(uint32_t crc, int byte) noexcept nogil:
    cdef uint32_t r = crc ^ <uint32_t>byte
    cdef int _bit
    for _bit in range(8):
        r = (r >> 1) ^ (POLYNOMIAL & (0 - (r & 1)))
    return r


cdef void _fill_tables() noexcept:
    cdef int n, j, b, k, d
    cdef uint32_t r
    for d in range(100):
        # As ASCII, 0 to 9 differ from "0" in their low four bits only.
        r = _crc_byte(_crc_byte(0, d // 10), d % 10)
        for k in range(44):
            PAIR[k][d] = r
            r = _crc_byte(r, 0)
    for n in range(38):
        ZEROS[n + 1] = _crc_byte(ZEROS[n], 48)
    POWER[0] = 0x80000000                              # the polynomial 1, reflected
    for n in range(1, POWERS):
        POWER[n] = _crc_byte(POWER[n - 1], 0)
    START[0] = 0xFFFFFFFF
    for n in range(1, POWERS):
        START[n] = _crc_byte(START[n - 1], 0)
    for j in range(4):
        for b in range(256):
            SHIFT[0][j][b] = <uint32_t>b << (8 * j)
            for n in range(1, 39):
                SHIFT[n][j][b] = _crc_byte(SHIFT[n - 1][j][b], 0)
            REDUCE[j][b] = SHIFT[4][j][b]
    for j in range(4):
        for b in range(256):
            r = <uint32_t>b << (8 * j)
            for n in range(12):
                SHIFT32[n][j][b] = r
                r = _through(SHIFT[32], r)


cdef inline uint32_t _through(uint32_t[256]* table, uint32_t r) noexcept nogil:
    return table[0][r & 255] ^ table[1][(r >> 8) & 255] ^ table[2][(r >> 16) & 255] ^ table[3][r >> 24]


_fill_tables()


cdef inline uint32_t _reduce(uint64_t product) noexcept nogil:
    # A reflected product of two 32-bit polynomials is one bit short; the low word then stands for x**32 and up.
    product <<= 1
    return <uint32_t>(product >> 32) ^ _through(REDUCE, <uint32_t>product)


cdef inline uint32_t _digits(uint64_t v) noexcept nogil:
    cdef uint32_t count = <uint32_t>(bit_length(v | 1) * 1233 >> 12)         # 1233 / 4096 is log10 of 2
    return count + (v >= <uint64_t>TEN_TO[count])


cdef inline uint32_t _eight_crc(uint32_t eight, uint32_t[100]* pair) noexcept nogil:
    cdef uint32_t high = eight // 10_000
    cdef uint32_t low = eight - high * 10_000
    return pair[0][low % 100] ^ pair[2][low // 100] ^ pair[4][high % 100] ^ pair[6][high // 100]


cdef inline uint32_t _text_crc(uint64_t v, uint32_t[100]* pair) noexcept nogil:
    """What v's digits add at `pair` bytes from the end, eight at a time: their divisions do not wait for each other."""
    cdef uint64_t rest = v // 100_000_000
    cdef uint32_t crc = _eight_crc(<uint32_t>(v - rest * 100_000_000), pair)
    while rest:
        pair += 8
        v = rest
        rest = v // 100_000_000
        crc ^= _eight_crc(<uint32_t>(v - rest * 100_000_000), pair)
    return crc


cdef Token level_token(int64_t price, int64_t qty) noexcept nogil:
    # SAFE: two non-negative int64 have at most 19 digits each; a price's last group of eight begins at k = 19 + 16.
    cdef uint32_t length = _digits(<uint64_t>qty)
    cdef Token token
    token.crc = _text_crc(<uint64_t>qty, PAIR) ^ _text_crc(<uint64_t>price, PAIR + length)
    token.length = length + _digits(<uint64_t>price)
    token.crc ^= ZEROS[token.length]
    return token


cdef Token join_tokens(const Token* tokens, int count, bint portable) noexcept nogil:
    cdef uint32_t crc = 0
    cdef int i
    cdef Token joined
    joined.length = 0
    # SAFE: count <= TOP and each length <= LEVEL_TEXT_MAX, so the length behind a token stays within POWER and SHIFT.
    if portable:
        for i in range(count):
            crc = _through(SHIFT[tokens[i].length], crc) ^ tokens[i].crc
            joined.length += tokens[i].length
        joined.crc = crc
    else:
        joined.crc = _reduce(kf_clmul_join(<const uint32_t*>tokens, count, POWER, &joined.length))
    return joined


cdef uint32_t finish(Token first, Token second, bint portable) noexcept nogil:
    cdef uint32_t crc
    # SAFE: lengths of one side each, at most SIDE_TEXT_MAX.
    if portable:
        crc = _through(SHIFT[second.length & 31], _through(SHIFT32[second.length >> 5], first.crc))
    else:
        crc = _reduce(kf_clmul(first.crc, POWER[second.length]))
    return ~(crc ^ second.crc ^ START[first.length + second.length])


cdef inline uint32_t _behind(uint32_t crc, uint32_t length) noexcept nogil:
    """A register, shifted over `length` bytes. SAFE: what goes into the tables is below 384."""
    while length >= 384:
        crc = _through(SHIFT32[11], crc)
        length -= 352
    if length >= 32:
        crc = _through(SHIFT32[length >> 5], crc)
    return _through(SHIFT[length & 31], crc)


cdef Token follow(Token first, Token second) noexcept nogil:
    cdef Token both
    both.crc = _behind(first.crc, second.length) ^ second.crc
    both.length = first.length + second.length
    return both


cdef Token join_texts(const Token* tokens, int count, bint portable) noexcept nogil:
    cdef Token joined
    cdef uint32_t length = 0
    cdef int i
    for i in range(count):
        length += tokens[i].length
    if not portable and length < POWERS:
        joined.crc = _reduce(kf_clmul_join(<const uint32_t*>tokens, count, POWER, &joined.length))
        return joined
    joined.crc = joined.length = 0
    for i in range(count):
        joined = follow(joined, tokens[i])
    return joined


cdef uint32_t seal(Token whole) noexcept nogil:
    if whole.length < POWERS:
        return ~(whole.crc ^ START[whole.length])
    return ~(whole.crc ^ _behind(0xFFFFFFFF, whole.length))


def has_clmul():
    """Whether this CPU multiplies carry-less in hardware, so that the fast path is taken."""
    return bool(HAS_CLMUL)


def book_checksum(asks, bids, *, portable=None):
    """Compute the exchange's checksum of a book.

    Args:
        asks: (price_raw, qty_raw) pairs, lowest price first; the first ten count.
        bids: the same, highest price first.
        portable: force the table path (True) or the fast one (False); None chooses by CPU.

    Source: websocket-v2 book checksum, https://docs.kraken.com/api/docs/guides/spot-ws-book-v2.

    >>> book_checksum([(10001, 300000)], [(10000, 500000)])
    2761834542
    """
    cdef Token[TOP] tokens
    cdef Token[2] sides
    cdef bint slow = not HAS_CLMUL if portable is None else bool(portable)
    cdef int count, side
    if not slow and not HAS_CLMUL:
        raise ValueError("portable=False: this CPU has no carry-less multiplication")
    for side in range(2):
        count = 0
        for price, qty in (bids if side else asks)[:TOP]:
            if price < 0 or qty < 0:
                raise ValueError(f"({price}, {qty}): prices and quantities in a book are not negative")
            tokens[count] = level_token(index(price), index(qty))       # a float raises
            count += 1
        sides[side] = join_tokens(tokens, count, slow)
    return finish(sides[0], sides[1], slow)
