from libc.stdint cimport int64_t, uint64_t

from .defs cimport FAILED, Status
from .tee cimport Tee


cdef class CaptureWriter(Tee):
    cdef readonly str path
    cdef readonly uint64_t frames            # written or waiting to be
    cdef readonly uint64_t dropped           # lost because the disk was too slow
    cdef readonly object error               # the OSError that ended the recording, None while it goes on
    cdef readonly int parts                  # files begun so far
    cdef bytearray _chunk_object             # CHUNK bytes, of which _used hold whole records
    cdef char* _chunk                        # where they are
    cdef Py_ssize_t _used
    cdef int64_t _chunk_ns                   # arrival of the chunk's first record
    cdef uint64_t _dropped_before            # already noted in the file
    cdef bint _closed
    cdef str _name
    cdef int64_t _begin_ns
    cdef int64_t _begin_epoch_ns
    cdef uint64_t _rotate_bytes
    cdef object _queue
    cdef object _free                        # chunks that were written
    cdef object _thread
    cdef object _compressor                  # None, or the thread that compresses finished parts
    cdef uint64_t _handed                    # chunks given to the thread; counted by the hot path alone
    cdef uint64_t _written                   # chunks it has done with; counted by the thread alone

    cdef Status _append(self, int kind, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED
    cdef Status _append_large(self, int kind, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED
    cdef Status _note_dropped(self, int64_t recv_ns) except FAILED
    cdef Status _hand_over(self, int64_t next_ns) except FAILED
    cdef Status _put(self, chunk, Py_ssize_t size) except FAILED
    cdef Status _new_chunk(self) except FAILED
    cdef int64_t _backlog(self) noexcept
