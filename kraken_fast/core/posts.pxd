cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from .book cimport OrderBook
from .line cimport Line
from .market cimport LiveTicker


cdef enum:
    RING = 32                # published states by which a line that is behind is recognised


cdef struct Mark:
    # Which state of a thing this is: its exchange time, INT64_MIN if it has none, and what it holds.
    int64_t at
    int32_t sub
    uint32_t content


cdef enum Verdict:
    VERDICT_NEWS = 0         # a state that nobody was told of: tell it
    VERDICT_COPY = 1         # another line told it
    VERDICT_REPEAT = 2       # this line told it, a moment ago
    VERDICT_LATE = 3         # older than what was told
    VERDICT_ODD = 4          # as old as what was told, and different
    VERDICT_WAIT = 5         # newer, but a line that goes on without a gap may be about to tell what lies between


cdef class Post


@cython.final
cdef class Seat:
    """How far one line has come with one thing."""
    cdef Post post
    cdef readonly Line line
    cdef readonly str name               # of the line
    cdef OrderBook book                  # the line's store: one of these, or neither (candles)
    cdef LiveTicker ticker
    cdef readonly uint64_t place         # states published when the one that this line last told had been
    cdef readonly bint placed            # whether that is known
    cdef readonly bint waits             # it began ahead of the head; its states are kept until the head is there
    cdef readonly uint64_t said          # messages
    cdef readonly int64_t said_ns        # arrival of the last one
    cdef readonly int64_t lag_ns         # how much later than the first line it told its last copy
    cdef readonly int64_t begun_ns       # arrival of its last snapshot
    cdef readonly uint64_t odd
    cdef uint32_t epoch                  # of the line when it last spoke
    cdef uint64_t behind_at              # for whoever watches: the place at which it was found behind,
    cdef int64_t behind_ns               # and since when; 0 if it was not

    cdef bint serves(self) noexcept


@cython.final
cdef class Post:
    """What was published of one thing, and how far each line has come with it."""
    cdef readonly str channel
    cdef readonly str symbol
    cdef readonly int interval           # of candles, else 0
    cdef readonly uint64_t count         # states published
    cdef readonly uint64_t due           # of those, what every line owes: all up to the last that was no snapshot
    cdef readonly uint64_t copies
    cdef readonly uint64_t repeats
    cdef readonly uint64_t late
    cdef readonly uint64_t odd
    cdef readonly int64_t news_ns        # arrival of the last one published
    cdef readonly list seats
    cdef Seat holder                     # who told it
    cdef Mark[RING] ring
    cdef int64_t[RING] came_ns
    cdef bint patient                    # whether a line that begins ahead waits; else it is the head at once
    cdef bint whole                      # of the states of the head's time the first one is known to be published
    cdef int64_t compared_ns             # when the lines' books were last compared level by level

    cdef Verdict judge(self, Seat seat, Mark mark, bint begins, int64_t recv_ns) noexcept
    cdef Verdict _search(self, Seat seat, Mark mark, bint begins, int64_t recv_ns) noexcept
    cdef Verdict _by_time(self, Seat seat, Mark mark, bint begins, int64_t recv_ns) noexcept
    cdef Verdict _publish(self, Seat seat, Mark mark, bint begins, int64_t recv_ns) noexcept
    cdef Verdict _match(self, Seat seat, uint64_t place, int64_t recv_ns) noexcept
    cdef bint is_led_without(self, Seat seat) noexcept
    cdef bint is_level(self, Seat seat) noexcept
    cdef Seat best(self, int64_t now_ns)
    cdef Seat latest(self)
    cdef int64_t missing_ns(self, Seat seat, int64_t now_ns) noexcept
