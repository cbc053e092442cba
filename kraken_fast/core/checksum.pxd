from libc.stdint cimport int64_t, uint32_t


cdef enum:
    TOP = 10                 # levels a side that the exchange's checksum covers
    LEVEL_TEXT_MAX = 38      # digits of one level: two int64 of at most 19


cdef struct Token:
    # The checksum's share of one level: its digits' raw CRC and their count.
    uint32_t crc
    uint32_t length


cdef bint HAS_CLMUL

cdef Token level_token(int64_t price, int64_t qty) noexcept nogil
# The tokens of one side, best first, as one.
cdef Token join_tokens(const Token* tokens, int count, bint portable) noexcept nogil
# CRC-32 as zlib counts it, of the text behind `first` followed by that behind `second`.
cdef uint32_t finish(Token first, Token second, bint portable) noexcept nogil
# The digits of `first` followed by those of `second`, of any length.
cdef Token follow(Token first, Token second) noexcept nogil
# The same as join_tokens, of texts of any length.
cdef Token join_texts(const Token* tokens, int count, bint portable) noexcept nogil
# CRC-32 as zlib counts it, of a text of any length.
cdef uint32_t seal(Token whole) noexcept nogil
