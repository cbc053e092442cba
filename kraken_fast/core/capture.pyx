# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Captures: the raw messages of a line with their arrival times, appended from the hot path, read back to the last
byte.

A file is MAGIC and then records, each a header of 24 bytes (payload size u32, check u32, arrival i64 monotonic ns, kind
u64; all little-endian) and its payload. The check covers the rest of the header and the payload, so damage is found at
the exact record. Kinds: FRAME a message as on the wire; EVENT a JSON object about the line (opened, lost, dropped).
The first record is the EVENT `begin`, which ties monotonic time to wall time.

Writing copies into a chunk in memory; full chunks go to a thread. When the disk cannot keep up, whole frames are
dropped
and the loss is counted and noted in the file: recording never holds up what it records.

Bench: benchmarks/bench_capture.py.
"""

import json
import os
import queue
import threading

from ..errors import CaptureError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from .clock cimport Clock
from .defs cimport FAILED, IGNORED, OK, Status
from .tee cimport Tee


cdef enum:
    HEADER = 24
    CHUNK = 1 << 20              # 1 MiB: about 4,000 book messages
    CHUNKS_WAITING_MAX = 32      # beyond, frames are dropped: 32 MiB of memory at most
    PAYLOAD_MAX = 64 << 20       # a larger size in a header is damage

cdef enum:
    KIND_FRAME = 0
    KIND_EVENT = 1

cdef bytes MAGIC = b"KFCAP\x00\x01\n"

cdef extern from *:
    """
    #include <string.h>
    #include <stdint.h>
    static inline uint64_t kf_word(const char *p, long n) {
        uint64_t v = 0;
        memcpy(&v, p, n >= 8 ? 8 : (size_t)n);
        return v;
    }
    """
    uint64_t kf_word(const char* p, Py_ssize_t n) noexcept nogil


cdef struct Header:
    uint32_t size
    uint32_t check
    int64_t recv_ns
    uint64_t kind


cdef uint32_t _check(const Header* header, const char* data) noexcept nogil:
    """A 64-bit multiplicative hash, folded: finds damage, at a third of zlib's cost for a CRC-32."""
    cdef uint64_t h = <uint64_t>0x9E3779B97F4A7C15 ^ header.size
    cdef Py_ssize_t rest = header.size
    h = (h ^ <uint64_t>header.recv_ns) * <uint64_t>0xD6E8FEB86659FD93
    h = ((h << 29 | h >> 35) ^ header.kind) * <uint64_t>0xD6E8FEB86659FD93
    while rest > 0:
        h = ((h << 29 | h >> 35) ^ kf_word(data, rest)) * <uint64_t>0xD6E8FEB86659FD93
        data += 8
        rest -= 8
    return <uint32_t>(h ^ h >> 32)


cdef class CaptureWriter(Tee):
    """Records a line to a file, which is made anew with mode 0600.

    Args:
        path: must not exist yet.
        clock: gives the wall time of the beginning.
        name: the line's name, noted in the file.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path, Clock clock, *, str name="A"):
        self.path = os.fspath(path)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._chunk = <char*>PyMem_Malloc(CHUNK)
        if self._chunk is NULL:
            os.close(fd)
            raise MemoryError()
        memcpy(self._chunk, PyBytes_AS_STRING(MAGIC), PyBytes_GET_SIZE(MAGIC))
        self._used = PyBytes_GET_SIZE(MAGIC)
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_chunks, args=(fd,), name="kraken_fast capture", daemon=True)
        self._thread.start()
        self.note("begin", clock.now_ns(), line=name, epoch_ns=clock.wall_ns())

    def __dealloc__(self):
        PyMem_Free(self._chunk)

    cdef Status write(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        if self._closed or self.error is not None:
            return IGNORED
        if self._append(KIND_FRAME, data, size, recv_ns) == OK:
            self.frames += 1
        return OK

    def note(self, str event, int64_t recv_ns, **facts):
        """Record something about the line that is not a frame."""
        cdef bytes text = json.dumps({"event": event, **facts}).encode()
        if not self._closed and self.error is None:
            self._append(KIND_EVENT, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), recv_ns)

    def flush(self):
        """Hand what is in memory to the writing thread."""
        if not self._closed and self._used:
            self._hand_over()

    def close(self):
        """Write everything out and end. May be called again."""
        if self._closed:
            return
        if self._dropped_before != self.dropped:
            self.note("dropped", 0, frames=self.dropped - self._dropped_before)
        self.flush()
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    cdef Status _append(self, int kind, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        cdef Header header
        if self._used + HEADER + size > CHUNK:
            if self._waiting >= CHUNKS_WAITING_MAX:
                self.dropped += 1
                return IGNORED
            if HEADER + size > CHUNK:
                return self._append_large(kind, data, size, recv_ns)
            self._hand_over()
            if self._dropped_before != self.dropped:
                lost = self.dropped - self._dropped_before
                self._dropped_before = self.dropped
                self.note("dropped", recv_ns, frames=lost)
        header.size = <uint32_t>size
        header.recv_ns = recv_ns
        header.kind = kind
        header.check = _check(&header, data)
        memcpy(self._chunk + self._used, &header, HEADER)
        memcpy(self._chunk + self._used + HEADER, data, size)
        self._used += HEADER + size
        return OK

    cdef Status _append_large(self, int kind, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        """A message that fits no chunk travels alone."""
        cdef Header header
        header.size = <uint32_t>size
        header.recv_ns = recv_ns
        header.kind = kind
        header.check = _check(&header, data)
        self._hand_over()
        self._waiting += 1
        self._queue.put(PyBytes_FromStringAndSize(<char*>&header, HEADER) + PyBytes_FromStringAndSize(data, size))
        return OK

    cdef Status _hand_over(self) except FAILED:
        if self._used:
            self._waiting += 1
            self._queue.put(PyBytes_FromStringAndSize(self._chunk, self._used))
            self._used = 0
        return OK

    def _write_chunks(self, int fd):
        """The thread: write until told to end; after a failure go on emptying the queue so that nobody waits."""
        with open(fd, "wb", buffering=0) as file:
            while (chunk := self._queue.get()) is not None:
                if self.error is None:
                    try:
                        while chunk:
                            chunk = chunk[file.write(chunk):]
                    except OSError as error:
                        self.error = error
                self._waiting -= 1


cdef class CaptureReader:
    """Iterates over a capture: (kind, recv_ns, payload), kind `frame` or `event`.

    Raises:
        CaptureError: not a capture, or damaged; its `offset` is where the intact part ends, all of which was given.
        OSError: the file cannot be read.
    """

    cdef readonly str path
    cdef readonly int64_t offset      # of the record that comes next
    cdef object _file

    def __init__(self, path):
        self.path = os.fspath(path)
        self._file = open(self.path, "rb")
        if self._file.read(len(MAGIC)) != MAGIC:
            self._file.close()
            raise CaptureError(self.path, 0, "not a capture, or of another version")
        self.offset = len(MAGIC)

    def __iter__(self):
        return self

    def __next__(self):
        cdef Header header
        cdef bytes head = self._file.read(HEADER)
        cdef bytes payload
        if not head:
            self._file.close()
            raise StopIteration
        if len(head) < HEADER:
            raise CaptureError(self.path, self.offset, "cut within a record's header")
        memcpy(&header, PyBytes_AS_STRING(head), HEADER)
        if header.size > PAYLOAD_MAX or header.kind > KIND_EVENT:
            raise CaptureError(self.path, self.offset, "damaged header")
        payload = self._file.read(header.size)
        if len(payload) < <Py_ssize_t>header.size:
            raise CaptureError(self.path, self.offset, "cut within a record")
        if _check(&header, PyBytes_AS_STRING(payload)) != header.check:
            raise CaptureError(self.path, self.offset, "damaged record")
        self.offset += HEADER + header.size
        return ("frame" if header.kind == KIND_FRAME else "event", header.recv_ns, payload)

    def close(self):
        """Close the file."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
