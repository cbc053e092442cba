from libc.stdint cimport int64_t, uint64_t

from .defs cimport FAILED, Status
from .tee cimport Tee


cdef class CaptureWriter(Tee):
    cdef readonly str path
    cdef readonly uint64_t frames            # written or waiting to be
    cdef readonly uint64_t dropped           # lost because the disk was too slow or failed
    cdef readonly object error               # the OSError that ended the recording, None while it goes on
    cdef char* _chunk
    cdef Py_ssize_t _used
    cdef uint64_t _dropped_before            # already noted in the file
    cdef bint _closed
    cdef object _queue
    cdef object _thread
    cdef int _waiting                        # chunks handed over and not yet written

    cdef Status _append(self, int kind, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED
    cdef Status _append_large(self, int kind, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED
    cdef Status _hand_over(self) except FAILED
