cimport cython
from libc.stdint cimport int64_t

from .defs cimport Status, FAILED


@cython.auto_pickle(False)
cdef class Tee:
    """Gets a copy of every complete text message before anybody understands it."""

    # data: size bytes, readable only during the call; recv_ns: monotonic arrival.
    # An exception ends the copying, never the line.
    cdef Status write(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED
