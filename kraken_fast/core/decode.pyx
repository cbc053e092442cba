# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""The decoder: one whole text message in, one line's stores updated, one handler told. All in one call stack.

Order of things: copy into a buffer of our own (padded and ended by a NUL, so that the scanner needs no bounds), scan,
apply, tell. Until the whole message was understood no store is touched. What is kept, and what becomes of it when a
message is refused, is in stores.pyx; each group of channels has its own decode_*.pyx.
"""

from ..errors import UsageError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from .decode_account cimport take_balances, take_executions
from .decode_control cimport take_ack, take_instrument, take_status
from .decode_market cimport take_book, take_level3, take_ohlc, take_ticker, take_trade
from .defs cimport (
    CHANNEL_BALANCES, CHANNEL_BOOK, CHANNEL_EXECUTIONS, CHANNEL_HEARTBEAT, CHANNEL_INSTRUMENT, CHANNEL_LEVEL3,
    CHANNEL_OHLC, CHANNEL_TICKER, CHANNEL_TRADE, CHANNEL_UNKNOWN, FAILED, IGNORED, OK, REFUSED, Channel, Status,
)
from .fields cimport is_text
from .scan cimport Scanner
from .stores cimport PADDING, Stores
from .tables cimport HEAD_CHANNEL, HEAD_DATA, HEAD_ERROR, HEAD_METHOD, HEAD_TYPE, Record
from .utf8 cimport copy_ascii, valid_utf8


cdef enum:
    RESTING = 65_536                 # capacity that is kept between messages


cdef class Decoder(Stores):
    """Understands the messages of one line.

    Args:
        line: clock and epoch shared with the stores; None makes one of its own.
        handler: who is told; None tells nobody.
        create: take in every symbol that comes (recordings), instead of only those wanted.
        create_depth: depth of books made so; 0 takes the smallest that the exchange offers and the snapshot fits.
        portable: never use carry-less multiplication.

    Attributes:
        messages, malformed, unknown, unwanted: counters, see stores.pxd.
        instruments, assets: what the `instrument` channel told, by symbol and id. Do not change them.
    """

    def feed(self, message, *, recv_ns=None, bint strict=False):
        """Take in one whole text message.

        Args:
            message: bytes-like, as on the wire.
            recv_ns: arrival, monotonic ns; None reads the line's clock.
            strict: raise what is otherwise only counted and told to the handler.

        Returns:
            True if it was understood, well formed and of a known kind.

        Raises:
            DecodeError: strict, and the message was refused; no store has changed.
            UsageError: called by a handler that this decoder is calling.
        """
        cdef bytes data = message if type(message) is bytes else bytes(memoryview(message))
        cdef uint64_t before = self.malformed + self.unknown
        cdef int64_t now = self.line.clock.now_ns() if recv_ns is None else recv_ns
        if self.on_message(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), now) == REFUSED:
            self.refuse(self.buffer, b"not UTF-8", "")
        if strict and self.malformed + self.unknown != before and self.last_error is not None:
            raise self.last_error
        return self.malformed + self.unknown == before

    def feed_all(self, list messages, *, recv_ns=None):
        """Take in many messages, each a bytes object, without coming back to Python between them.

        Returns:
            How many were understood.
        """
        cdef uint64_t before = self.malformed + self.unknown
        cdef int64_t now = self.line.clock.now_ns() if recv_ns is None else recv_ns
        cdef bytes data
        for data in messages:
            if self.on_message(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), now) == REFUSED:
                self.refuse(self.buffer, b"not UTF-8", "")
        return len(messages) - (self.malformed + self.unknown - before)

    cdef Status on_message(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        cdef bint ascii
        if self.busy:
            raise UsageError("a handler cannot feed the decoder that is calling it")
        self.messages += 1
        self.last_error = None
        self.scanner.channel = CHANNEL_UNKNOWN
        if size + PADDING > self.capacity:
            self.reserve(size)
        self.size = size
        ascii = copy_ascii(self.buffer, data, size)
        memset(self.buffer + size, 0, PADDING)
        if not ascii and not valid_utf8(self.buffer, size):
            return REFUSED
        self.line.heard_ns = recv_ns
        self.busy = True
        try:
            self.understand(recv_ns)
        finally:
            self.busy = False
        if self.capacity > 4 * RESTING:
            self.reserve(RESTING)
            self.scanner.shrink()
        return OK

    cdef Status understand(self, int64_t recv_ns) except FAILED:
        cdef Scanner scan = self.scanner
        cdef Channel channel
        cdef Record* head = &scan.head
        cdef bint snapshot
        cdef Status result
        if scan.scan(self.buffer, self.size) != OK:
            return self.refuse(scan.fault.at, scan.fault.reason, "")
        channel = scan.channel
        if channel == CHANNEL_HEARTBEAT:
            self.counts[<int>channel] += 1
            return OK
        if channel == CHANNEL_UNKNOWN:
            if head.seen & (1 << HEAD_METHOD | 1 << HEAD_ERROR) and not head.seen >> HEAD_CHANNEL & 1:
                return take_ack(self)
            self.unknown += 1
            return IGNORED
        if not head.seen >> HEAD_DATA & 1:
            return self.refuse(self.buffer + self.size, b"data is missing", "")
        if head.seen >> HEAD_TYPE & 1 and is_text(&head.values[HEAD_TYPE], b"update", 6):
            snapshot = False
        elif head.seen >> HEAD_TYPE & 1 and is_text(&head.values[HEAD_TYPE], b"snapshot", 8):
            snapshot = True
        else:
            return self.refuse(self.buffer + self.size, b"type is neither snapshot nor update", "")
        if channel == CHANNEL_BOOK:
            result = take_book(self, snapshot, recv_ns)
        elif channel == CHANNEL_TICKER:
            result = take_ticker(self, snapshot, recv_ns)
        elif channel == CHANNEL_TRADE:
            result = take_trade(self, snapshot, recv_ns)
        elif channel == CHANNEL_OHLC:
            result = take_ohlc(self, snapshot, recv_ns)
        elif channel == CHANNEL_LEVEL3:
            result = take_level3(self, snapshot, recv_ns)
        elif channel == CHANNEL_EXECUTIONS:
            result = take_executions(self, snapshot, recv_ns)
        elif channel == CHANNEL_BALANCES:
            result = take_balances(self, snapshot, recv_ns)
        elif channel == CHANNEL_INSTRUMENT:
            result = take_instrument(self, snapshot)
        else:
            result = take_status(self)
        if result == OK:
            self.counts[<int>channel] += 1
        return result
