# cython: language_level=3
"""Integer types shared by all of the core; no code."""

from libc.stdint cimport int64_t


cdef enum Status:
    # What a function of the core reports. FAILED means that a Python exception is set; the others are data.
    FAILED = -1
    OK = 0
    REFUSED = 1        # understood as wrong (malformed, unverifiable); counted by whoever found it
    IGNORED = 2        # well formed, not for us (unknown channel, symbol not subscribed)
    MISMATCH = 3       # applied, and the checksum disagrees


cdef enum Channel:
    CHANNEL_UNKNOWN = 0
    CHANNEL_BOOK = 1
    CHANNEL_TICKER = 2
    CHANNEL_TRADE = 3
    CHANNEL_OHLC = 4
    CHANNEL_INSTRUMENT = 5
    CHANNEL_STATUS = 6
    CHANNEL_HEARTBEAT = 7
    CHANNEL_EXECUTIONS = 8
    CHANNEL_BALANCES = 9
    CHANNEL_LEVEL3 = 10
    CHANNEL_COUNT = 11


cdef enum BookState:
    BOOK_EMPTY = 0         # nothing held, nothing asked for
    BOOK_SYNCING = 1       # a snapshot of this epoch is awaited; updates are dropped
    BOOK_VALID = 2         # the checksum agreed on the last message
    BOOK_UNVERIFIED = 3    # the exchange's checksum keeps disagreeing; applied, checked, never called live
    BOOK_INVALID = 4       # a mismatch or a loss; frozen until the next verified snapshot
