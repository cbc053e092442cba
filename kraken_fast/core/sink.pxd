cimport cython
from libc.stdint cimport int64_t

from .defs cimport Status, FAILED


@cython.auto_pickle(False)
cdef class MessageSink:
    """Takes whole messages. The decoder is one; so is a test's echo."""

    # data: size bytes of one complete text message, readable only during the call.
    # recv_ns: when the read that completed it returned, monotonic.
    # REFUSED means that the text is not UTF-8: the line must be closed with 1007.
    cdef Status on_message(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED
    # The same for a binary message. IGNORED, the base's answer, counts it as unknown.
    cdef Status on_binary(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED
    # After the last message of one read from the socket.
    cdef Status on_batch_end(self) except FAILED


@cython.auto_pickle(False)
cdef class PySink(MessageSink):
    cdef object _on_text
    cdef object _on_binary
