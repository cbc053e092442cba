# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, auto_pickle=False
"""What the stores of private channels share: the exchange numbers their messages, so a loss shows at the next one.

The snapshot begins a subscription and makes the store live; each update must carry the next number. Any other, larger
or smaller, means that something was lost or that another subscription speaks: the store goes on taking in what comes,
because every event is a fact, but is not live until the next snapshot.
Source: websocket-v2 channels executions and balances.
"""

from libc.stdint cimport int64_t, uint64_t

from .line cimport Line


cdef class Sequenced:
    """A store filled by a channel whose messages are numbered.

    Attributes:
        line: the connection that fills it.
        channel: executions or balances.
        messages: taken in.
        gaps: how often a number was not the next one, or a message could not be understood.
    """

    def __init__(self, str channel, Line line):
        self.channel = channel
        self.line = line

    cdef bint follows(self, bint snapshot, uint64_t number, int64_t recv_ns) noexcept:
        cdef uint64_t expected = self.next_number if self.next_number else 1
        self.messages += 1
        self.changed_ns = recv_ns
        self.next_number = number + 1
        if snapshot:
            self._live = True
            return True
        if number == expected:
            return True
        self.lose()
        return False

    cdef void lose(self) noexcept:
        self.gaps += 1
        self._live = False

    cdef void begin_epoch(self) noexcept:
        self.next_number = 0
        self._live = False

    @property
    def is_live(self):
        """Whether a snapshot of this connection was applied, and every message since, in order."""
        return self._live

    @property
    def expected_sequence(self):
        """Number that the next message must carry."""
        return self.next_number if self.next_number else 1

    @property
    def quality(self):
        """live: complete, and its line was heard within the last 1.5 s. Else stale, or none before any message."""
        if not self.messages:
            return "none"
        return "live" if self._live and self.line.is_fresh() else "stale"

    @property
    def age_ms(self):
        """Milliseconds since the line last proved this store current; None before any message."""
        cdef int64_t proven = self.changed_ns
        if not self.messages:
            return None
        if self._live and self.line.heard_ns > proven:
            proven = self.line.heard_ns
        return max(0.0, (self.line.clock.now_ns() - proven) / 1e6)

    @property
    def source(self):
        """Where the values come from."""
        return "websocket"
