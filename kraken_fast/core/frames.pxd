cimport cython

from .utf8 cimport Utf8State


cdef enum Opcode:
    OPCODE_CONTINUATION = 0x0
    OPCODE_TEXT = 0x1
    OPCODE_BINARY = 0x2
    OPCODE_CLOSE = 0x8
    OPCODE_PING = 0x9
    OPCODE_PONG = 0xA


cdef enum Verdict:
    VERDICT_NOTHING = 0    # a fragment was kept, or the frame came after the end
    VERDICT_TEXT = 1       # a whole text message; an unfragmented one is not yet known to be UTF-8
    VERDICT_BINARY = 2     # a whole binary message
    VERDICT_PING = 3
    VERDICT_PONG = 4
    VERDICT_CLOSE = 5      # the peer closes with close_code; the span is its reason
    VERDICT_FAIL = 6       # fail the connection with close_code, because of fail_reason


cdef struct Span:
    const char* data       # borrowed: from the frame, or from the policy's buffer until its next call
    Py_ssize_t size


@cython.final
@cython.auto_pickle(False)
cdef class FramePolicy:
    cdef readonly Py_ssize_t message_bytes_max
    cdef readonly Py_ssize_t fragments_max
    cdef readonly int close_code           # after VERDICT_CLOSE the peer's, after VERDICT_FAIL ours; else 0
    cdef const char* fail_reason           # static text, never NULL

    cdef bint _over                        # closed or failed: nothing is accepted any more
    cdef int _open                         # opcode of the fragmented message under way, or NO_MESSAGE
    cdef Py_ssize_t _fragments
    cdef Utf8State _utf8
    cdef char* _kept                       # owned; the fragments so far
    cdef Py_ssize_t _kept_size
    cdef Py_ssize_t _kept_capacity

    cdef Verdict accept(
        self, int opcode, bint fin, bint reserved, const char* data, Py_ssize_t size, Span* message
    ) noexcept
    cdef void restart(self) noexcept

    cdef Verdict _accept_other(
        self, int opcode, bint fin, bint reserved, const char* data, Py_ssize_t size, Span* message
    ) noexcept
    cdef Verdict _accept_data(
        self, int opcode, bint fin, const char* data, Py_ssize_t size, Span* message
    ) noexcept
    cdef Verdict _accept_close(self, const char* data, Py_ssize_t size, Span* message) noexcept
    cdef Verdict _keep(self, const char* data, Py_ssize_t size) noexcept
    cdef Verdict _fail(self, int code, const char* reason) noexcept
