# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, freethreading_compatible=False
"""What a WebSocket frame from the server may be: RFC 6455 without I/O.

The parser below us (picows) checks one frame: opcode, mask, length forms, size of control frames. It does not look
at reserved bits, at the order of fragments, at their sum, at UTF-8, and lets some illegal close codes pass. This
policy does, frame by frame, and hands out whole messages.

Idea: a server like Kraken sends unfragmented text. That path is one test and two stores, copies nothing, and leaves
UTF-8 to the sink, which reads every byte anyway. All else takes the long way: fragments are copied into an own buffer
(bounded in sum and in number) and text is validated as it comes, so that a connection fails at the first bad byte.

Invariants: `_open` is NO_MESSAGE or the opcode of a message whose first frame came and whose last did not;
`_kept_size` <= `message_bytes_max`; after VERDICT_CLOSE or VERDICT_FAIL nothing is accepted until restart().
It does not answer anybody: that is the listener's business.

Source: RFC 6455 sections 5.2, 5.4, 5.5, 7.4, 8.1; close codes: IANA "WebSocket Close Code Number Registry", 2026-11.
"""

cimport cython
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from .utf8 cimport utf8_feed, valid_utf8

cdef int NO_MESSAGE = -1

cdef int CLOSE_PROTOCOL_ERROR = 1002
cdef int CLOSE_NO_CODE = 1005          # stands for "the close frame named none"; never on the wire
cdef int CLOSE_NOT_UTF8 = 1007
cdef int CLOSE_TOO_BIG = 1009

_VERDICTS = ("nothing", "text", "binary", "ping", "pong", "close", "fail")


cdef inline bint _may_be_sent(int code) noexcept:
    """1004 to 1006 and 1015 are reserved; below 1000 and 1016 to 2999 belong to nobody; 5000 up is out of range."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


@cython.final
@cython.auto_pickle(False)
cdef class FramePolicy:
    """Judges one connection's frames in the order of their arrival.

    Args:
        message_bytes_max: largest message, whole or as the sum of its fragments.
        fragments_max: most frames that one message may come in.
    """

    def __cinit__(self, *, Py_ssize_t message_bytes_max=32 << 20, Py_ssize_t fragments_max=1024):
        if message_bytes_max < 1 or fragments_max < 1:
            raise ValueError("message_bytes_max and fragments_max must be positive")
        self.message_bytes_max = message_bytes_max
        self.fragments_max = fragments_max
        self.restart()

    def __dealloc__(self):
        free(self._kept)

    cdef void restart(self) noexcept:
        """Forget everything and give the buffer back: a new connection begins."""
        free(self._kept)
        self._kept = NULL
        self._kept_capacity = 0
        self.close_code = 0
        self.fail_reason = b""
        self._over = False
        self._open = NO_MESSAGE
        self._fragments = 0
        self._kept_size = 0
        self._utf8.need = 0

    cdef Verdict accept(
        self, int opcode, bint fin, bint reserved, const char* data, Py_ssize_t size, Span* message
    ) noexcept:
        """Judge the next frame; `message` is filled for every verdict but NOTHING and FAIL.

        Cost: 2 ns for unfragmented text, measured in a loop.
        """
        if (
            opcode == OPCODE_TEXT and fin and not reserved and self._open == NO_MESSAGE
            and size <= self.message_bytes_max and not self._over
        ):
            message.data = data
            message.size = size
            return VERDICT_TEXT
        return self._accept_other(opcode, fin, reserved, data, size, message)

    cdef Verdict _accept_other(
        self, int opcode, bint fin, bint reserved, const char* data, Py_ssize_t size, Span* message
    ) noexcept:
        if self._over:
            return VERDICT_NOTHING
        if reserved:
            return self._fail(CLOSE_PROTOCOL_ERROR, b"reserved bits set, though no extension was agreed on")
        if opcode <= OPCODE_BINARY:
            return self._accept_data(opcode, fin, data, size, message)
        if not fin or size > 125:
            return self._fail(CLOSE_PROTOCOL_ERROR, b"control frame fragmented or over 125 bytes")
        message.data = data
        message.size = size
        if opcode == OPCODE_PING:
            return VERDICT_PING
        if opcode == OPCODE_PONG:
            return VERDICT_PONG
        if opcode == OPCODE_CLOSE:
            return self._accept_close(data, size, message)
        return self._fail(CLOSE_PROTOCOL_ERROR, b"unknown opcode")

    cdef Verdict _accept_data(
        self, int opcode, bint fin, const char* data, Py_ssize_t size, Span* message
    ) noexcept:
        cdef int kind
        if opcode == OPCODE_CONTINUATION:
            if self._open == NO_MESSAGE:
                return self._fail(CLOSE_PROTOCOL_ERROR, b"continuation of nothing")
        elif self._open != NO_MESSAGE:
            return self._fail(CLOSE_PROTOCOL_ERROR, b"new message inside a fragmented one")
        elif fin and size <= self.message_bytes_max:
            message.data = data
            message.size = size
            return VERDICT_BINARY if opcode == OPCODE_BINARY else VERDICT_TEXT
        else:
            self._open = opcode
        if self._keep(data, size) == VERDICT_FAIL:
            return VERDICT_FAIL
        if self._open == OPCODE_TEXT and not utf8_feed(&self._utf8, data, size):
            return self._fail(CLOSE_NOT_UTF8, b"text is not UTF-8")
        if not fin:
            return VERDICT_NOTHING
        if self._open == OPCODE_TEXT and self._utf8.need > 0:
            return self._fail(CLOSE_NOT_UTF8, b"text ends inside a character")
        kind = self._open
        message.data = self._kept
        message.size = self._kept_size
        self._open = NO_MESSAGE
        self._fragments = 0
        self._kept_size = 0
        return VERDICT_BINARY if kind == OPCODE_BINARY else VERDICT_TEXT

    cdef Verdict _keep(self, const char* data, Py_ssize_t size) noexcept:
        """Append a fragment to the message under way."""
        cdef Py_ssize_t capacity
        cdef char* kept
        self._fragments += 1
        # Compared by subtraction: the sum of two wire lengths could overflow.
        if size > self.message_bytes_max - self._kept_size:
            return self._fail(CLOSE_TOO_BIG, b"message too long")
        if self._fragments > self.fragments_max:
            return self._fail(CLOSE_TOO_BIG, b"message in too many fragments")
        if self._kept == NULL or self._kept_size + size > self._kept_capacity:
            capacity = max(4096, self._kept_size + size, self._kept_capacity + self._kept_capacity // 2)
            capacity = min(capacity, max(4096, self.message_bytes_max))
            kept = <char*>realloc(self._kept, capacity)
            if kept == NULL:
                return self._fail(CLOSE_TOO_BIG, b"no memory for the message")
            self._kept = kept
            self._kept_capacity = capacity
        # SAFE: _kept_size + size <= _kept_capacity, just made so; data holds size bytes during the call.
        memcpy(self._kept + self._kept_size, data, size)
        self._kept_size += size
        return VERDICT_NOTHING

    cdef Verdict _accept_close(self, const char* data, Py_ssize_t size, Span* message) noexcept:
        cdef int code = CLOSE_NO_CODE
        if size == 1:
            return self._fail(CLOSE_PROTOCOL_ERROR, b"close frame of one byte")
        if size >= 2:
            # SAFE: two bytes are there.
            code = (<unsigned char>data[0] << 8) | <unsigned char>data[1]
            if not _may_be_sent(code):
                return self._fail(CLOSE_PROTOCOL_ERROR, b"illegal close code")
            if not valid_utf8(data + 2, size - 2):
                return self._fail(CLOSE_NOT_UTF8, b"close reason is not UTF-8")
            message.data = data + 2
            message.size = size - 2
        self._over = True
        self.close_code = code
        return VERDICT_CLOSE

    cdef Verdict _fail(self, int code, const char* reason) noexcept:
        self._over = True
        self.close_code = code
        self.fail_reason = reason
        return VERDICT_FAIL

    @property
    def reason(self) -> str:
        """Why the connection must fail, or the empty text."""
        return self.fail_reason.decode("ascii")

    def feed(self, int opcode, bytes payload not None, *, bint fin=True, bint reserved=False):
        """Judge one frame, from Python: for tests, fuzzers and tools.

        Args:
            opcode: 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.
            payload: unmasked.
            fin: last frame of its message.
            reserved: any of the three reserved bits is set.

        Returns:
            The verdict's name, and the message, the control payload, the close reason, or None.

        >>> policy = FramePolicy()
        >>> policy.feed(1, b'{"a":', fin=False)
        ('nothing', None)
        >>> policy.feed(0, b'1}')
        ('text', b'{"a":1}')
        >>> policy.feed(0, b'')
        ('fail', None)
        >>> policy.close_code, policy.reason
        (1002, 'continuation of nothing')
        """
        cdef Span message
        cdef Verdict verdict = self.accept(opcode, fin, reserved, payload, len(payload), &message)
        if verdict == VERDICT_NOTHING or verdict == VERDICT_FAIL:
            return _VERDICTS[<int>verdict], None
        return _VERDICTS[<int>verdict], message.data[:message.size]

    @property
    def kept_bytes(self) -> int:
        """Bytes held for fragments: of the message under way, and allocated."""
        return self._kept_size, self._kept_capacity


def is_utf8(bytes data not None) -> bool:
    """Tell whether `data` is complete UTF-8.

    >>> is_utf8("é".encode()), is_utf8(b"\\xc3"), is_utf8(b"\\xed\\xa0\\x80")
    (True, False, False)
    """
    return valid_utf8(data, len(data))
