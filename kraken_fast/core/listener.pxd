cimport cython
from libc.stdint cimport int64_t
from picows.picows cimport WSFrame, WSListener, WSTransport

from .clock cimport Clock
from .defs cimport FAILED, Status
from .frames cimport FramePolicy, Span, Verdict
from .sink cimport MessageSink
from .tee cimport Tee


@cython.auto_pickle(False)
cdef class LineListener(WSListener):
    # Over the life of the line, all its connections together:
    cdef readonly int64_t frames                 # of any kind, control frames too
    cdef readonly int64_t messages               # complete text messages
    cdef readonly int64_t message_bytes          # their payload
    cdef readonly int64_t reads                  # reads from the socket that completed a frame
    cdef readonly int64_t messages_per_read_max
    cdef readonly int64_t binary_ignored         # binary messages that the sink did not want
    cdef readonly int64_t frames_ignored         # after the end of their connection
    cdef readonly int64_t pings
    cdef readonly int64_t pongs_sent
    cdef readonly int64_t sink_errors            # exceptions that the sink or the tee let out
    # Of the present connection:
    cdef readonly int64_t last_recv_ns           # arrival of its last text message; of its opening before that

    cdef MessageSink _sink
    cdef Clock _clock
    cdef object _owner
    cdef Tee _tee
    cdef FramePolicy _policy
    cdef WSTransport _transport                  # of the present connection; frames of any other are ignored
    cdef bint _over                              # the present connection ended, the owner knows
    cdef bint _read_open                         # a read is being worked on
    cdef int64_t _recv_ns                        # when the present read returned
    cdef int64_t _read_messages
    cdef bytes _pong_owed                        # payload of the latest unanswered ping
    cdef int64_t _pong_from_ns                   # when the next pong is covered by the allowance

    cpdef on_ws_connected(self, WSTransport transport)
    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame)
    cpdef on_ws_disconnected(self, WSTransport transport)
    cpdef pause_writing(self)
    cpdef resume_writing(self)

    cdef Status _take_text(self, Span* message) except FAILED
    cdef Status _take_other(self, Verdict verdict, Span* message) except FAILED
    cdef Status _take_close(self, Span* message) except FAILED
    cdef Status _take_ping(self, Span* message) except FAILED
    cdef Status _copy_to_tee(self, Span* message) except FAILED
    cdef Status _pong(self) except FAILED
    cdef Status _end_read(self) except FAILED
    cdef Status _fail(self, int code, bytes reason) except FAILED
    cdef Status _end(self, int code, str reason, bint was_clean) except FAILED
