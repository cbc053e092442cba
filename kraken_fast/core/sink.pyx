# cython: language_level=3, binding=True
"""The seam between the wire and whatever understands it."""

from libc.stdint cimport int64_t

from .defs cimport FAILED, OK, Status


cdef class MessageSink:
    """Takes whole text messages and does nothing with them."""

    cdef Status on_message(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        return OK

    cdef Status on_batch_end(self) except FAILED:
        return OK
