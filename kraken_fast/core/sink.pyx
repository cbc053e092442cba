# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, freethreading_compatible=False
"""The seam between the wire and whatever understands it."""

cimport cython
from libc.stdint cimport int64_t

from .defs cimport FAILED, IGNORED, OK, REFUSED, Status
from .utf8 cimport valid_utf8


@cython.auto_pickle(False)
cdef class MessageSink:
    """Takes whole messages and does nothing with them."""

    cdef Status on_message(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        return OK

    cdef Status on_binary(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        # Kraken sends text only. Reading binary as if it were text would take in what nobody vouches for.
        return IGNORED

    cdef Status on_batch_end(self) except FAILED:
        return OK


@cython.auto_pickle(False)
cdef class PySink(MessageSink):
    """Hands messages to Python, as bytes: for tools and tests, where 100 ns a message do not matter.

    Args:
        on_text: called with (message, recv_ns) for each text message; recv_ns is its arrival, monotonic.
        on_binary: the same for binary messages; None leaves them counted as unknown.
    """

    def __init__(self, on_text, on_binary=None):
        self._on_text = on_text
        self._on_binary = on_binary

    cdef Status on_message(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        if not valid_utf8(data, size):
            return REFUSED
        self._on_text(data[:size], recv_ns)
        return OK

    cdef Status on_binary(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        if self._on_binary is None:
            return IGNORED
        self._on_binary(data[:size], recv_ns)
        return OK
