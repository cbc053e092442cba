# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, freethreading_compatible=False
"""The hook for recording what a line receives."""

cimport cython
from libc.stdint cimport int64_t

from .defs cimport FAILED, OK, Status


@cython.auto_pickle(False)
cdef class Tee:
    """Writes nothing; the base of what records."""

    cdef Status write(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        return OK
