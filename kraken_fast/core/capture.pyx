# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Captures: the raw messages of a line with their arrival times, appended from the hot path, read to the last byte.

A file is MAGIC and then records, each a header of 24 bytes (payload size u32, check u32, arrival i64 monotonic ns, kind
u64; all little-endian) and its payload. The check covers the rest of the header and the payload, so damage is found at
the exact record. Kinds: FRAME a message as on the wire; EVENT a JSON object about the line (opened, lost, gap). The
first record is the EVENT `begin`, which ties monotonic time to wall time; the last is `end`, or `continued` when a
further part follows, so that a cut shows even between two records.

Writing copies into a chunk in memory; full chunks, and those older than a second, go to a thread. Rotation is that
thread's business, compression (zstandard) that of another one. When the disk cannot keep up, whole frames are dropped
and the loss is counted and noted in the file; when it is full, recording ends with a warning: it never holds up what it
records.

Bench: benchmarks/bench_capture.py.
"""

import collections
import io
import json
import logging
import os
import queue
import threading
from importlib import import_module
from pathlib import Path

from ..errors import CaptureError, ConfigError

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from .clock cimport Clock
from .defs cimport FAILED, IGNORED, OK, Status
from .tee cimport Tee


_log = logging.getLogger("kraken_fast.capture")

# What a crash may lose. A line hears a heartbeat a second, so no timer is needed.
cdef int64_t FLUSH_NS = 1_000_000_000

cdef enum:
    HEADER = 24
    CHUNK = 1 << 20              # 1 MiB: about 4,000 book messages
    CHUNKS_KEPT = 2              # written ones, to be filled again: fresh pages cost 25 ns a frame
    CHUNKS_WAITING_MAX = 32      # beyond, frames are dropped: 32 MiB of memory at most
    PAYLOAD_MAX = 64 << 20       # a larger size in a header is damage

cdef enum:
    KIND_FRAME = 0
    KIND_EVENT = 1

cdef bytes MAGIC = b"KFCAP\x00\x01\n"
cdef bytes ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

ZSTD_LEVEL = 3
ROTATE_BYTES_MIN = 4096
ENDINGS = ("end", "continued")

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
    """Two 64-bit multiplicative hashes side by side, folded: finds damage, at a fifth of zlib's cost for a CRC-32."""
    cdef uint64_t h = <uint64_t>0x9E3779B97F4A7C15 ^ header.size
    cdef uint64_t g = <uint64_t>0xC2B2AE3D27D4EB4F ^ header.kind
    cdef Py_ssize_t rest = header.size
    h = (h ^ <uint64_t>header.recv_ns) * <uint64_t>0xD6E8FEB86659FD93
    while rest >= 16:
        h = ((h << 29 | h >> 35) ^ kf_word(data, 8)) * <uint64_t>0xD6E8FEB86659FD93
        g = ((g << 31 | g >> 33) ^ kf_word(data + 8, 8)) * <uint64_t>0x9FB21C651E98DF25
        data += 16
        rest -= 16
    while rest > 0:
        h = ((h << 29 | h >> 35) ^ kf_word(data, rest)) * <uint64_t>0xD6E8FEB86659FD93
        data += 8
        rest -= 8
    h = (h ^ (g << 32 | g >> 32)) * <uint64_t>0xD6E8FEB86659FD93
    return <uint32_t>(h ^ h >> 32)


cdef bytes _event_record(str event, int64_t recv_ns, dict facts):
    """One EVENT record, header and all."""
    cdef bytes text = json.dumps({"event": event, **facts}).encode()
    cdef Header header
    header.size = <uint32_t>PyBytes_GET_SIZE(text)
    header.recv_ns = recv_ns
    header.kind = KIND_EVENT
    header.check = _check(&header, PyBytes_AS_STRING(text))
    return PyBytes_FromStringAndSize(<char*>&header, HEADER) + text


def part_path(path, int part):
    """Name a part of a recording.

    >>> part_path("btc.kfcap", 0), part_path("btc.kfcap", 2)
    ('btc.kfcap', 'btc.0002.kfcap')
    """
    name = os.fspath(path)
    if not part:
        return name
    stem, suffix = os.path.splitext(name)
    return f"{stem}.{part:04d}{suffix}"


cdef class CaptureWriter(Tee):
    """Records a line to a file, which is made anew with mode 0600.

    Args:
        path: must not exist yet.
        clock: gives the wall time of the beginning.
        name: the line's name, noted in the file.
        rotate_bytes: begin a new part, named by `part_path`, when one has grown to this size; 0 never does.
        compress: turn every finished part into `<part>.zst` and remove it.

    Attributes:
        frames: written or waiting to be.
        dropped: frames lost because the disk was too slow.
        error: the OSError that ended the recording, None while it goes on.
        parts: files begun so far.

    Raises:
        OSError: the file cannot be made.
        ConfigError: `rotate_bytes` is too small, or zstandard is not installed.
    """

    def __init__(self, path, Clock clock, *, str name="A", uint64_t rotate_bytes=0, bint compress=False):
        if 0 < rotate_bytes < ROTATE_BYTES_MIN:
            raise ConfigError("rotate_bytes", rotate_bytes, f"0, or at least {ROTATE_BYTES_MIN}")
        self._compressor = _Compressor() if compress else None
        self.path = os.fspath(path)
        self._name = name
        self._rotate_bytes = rotate_bytes
        file = self._open_part()
        self._free = collections.deque(maxlen=CHUNKS_KEPT)
        self._new_chunk()
        self._begin_ns = clock.now_ns()
        self._begin_epoch_ns = clock.wall_ns()
        self._chunk_ns = self._begin_ns
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, args=(file,), name="kraken_fast capture", daemon=True)
        self._thread.start()

    cdef Status write(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        if self._closed or self.error is not None:
            return IGNORED
        if self._append(KIND_FRAME, data, size, recv_ns) == OK:
            self.frames += 1
        return OK

    def append(self, bytes frame, int64_t recv_ns):
        """Record one message from Python."""
        self.write(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), recv_ns)

    def append_all(self, list frames, int64_t recv_ns):
        """Record messages that came at the same time, without coming back to Python between them."""
        cdef bytes frame
        for frame in frames:
            self.write(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), recv_ns)

    def note(self, str event, int64_t recv_ns, **facts):
        """Record something about the line that is not a frame."""
        cdef bytes text = json.dumps({"event": event, **facts}).encode()
        if not self._closed and self.error is None:
            self._append(KIND_EVENT, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), recv_ns)

    def flush(self):
        """Hand what is in memory to the writing thread."""
        if not self._closed:
            self._hand_over(self._chunk_ns)

    def close(self):
        """Write everything out and end. May be called again."""
        if self._closed:
            return
        self._note_dropped(self._chunk_ns)
        self.flush()
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        if self._compressor is not None:
            self._compressor.close()

    cdef Status _append(self, int kind, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        cdef Header header
        if self._used + HEADER + size > CHUNK:
            if self._backlog() >= CHUNKS_WAITING_MAX:
                self.dropped += kind == KIND_FRAME
                return IGNORED
            self._hand_over(recv_ns)
            self._note_dropped(recv_ns)
            if HEADER + size > CHUNK:
                return self._append_large(kind, data, size, recv_ns)
        elif recv_ns - self._chunk_ns > FLUSH_NS and self._backlog() < CHUNKS_WAITING_MAX:
            self._hand_over(recv_ns)
        header.size = <uint32_t>size
        header.recv_ns = recv_ns
        header.kind = kind
        header.check = _check(&header, data)
        # SAFE: HEADER + size bytes are left in the chunk, or we had handed it over and it is empty.
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
        self._hand_over(recv_ns)
        whole = PyBytes_FromStringAndSize(<char*>&header, HEADER) + PyBytes_FromStringAndSize(data, size)
        return self._put(whole, HEADER + size)

    cdef Status _note_dropped(self, int64_t recv_ns) except FAILED:
        cdef uint64_t lost = self.dropped - self._dropped_before
        if lost:
            self._dropped_before = self.dropped
            self.note("dropped", recv_ns, frames=lost)
        return OK

    cdef Status _hand_over(self, int64_t next_ns) except FAILED:
        self._chunk_ns = next_ns
        if self._used:
            self._put(self._chunk_object, self._used)
            self._new_chunk()
        return OK

    cdef Status _put(self, chunk, Py_ssize_t size) except FAILED:
        self._handed += 1
        self._queue.put((chunk, size))
        return OK

    cdef Status _new_chunk(self) except FAILED:
        """Take a chunk that was written, whose pages are there already, or make one."""
        try:
            self._chunk_object = self._free.pop()
        except IndexError:
            self._chunk_object = bytearray(CHUNK)
        self._chunk = PyByteArray_AS_STRING(self._chunk_object)
        self._used = 0
        return OK

    cdef int64_t _backlog(self) noexcept:
        return <int64_t>(self._handed - self._written)

    def _open_part(self):
        """Make the file of the next part."""
        path = part_path(self.path, self.parts)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.parts += 1
        return open(fd, "wb", buffering=0)

    def _write(self, file):
        """The thread: write until told to end; after a failure go on emptying the queue so that nobody waits."""
        cdef int64_t last_ns = self._begin_ns
        size, has_records = 0, False
        begin = {"line": self._name, "epoch_ns": self._begin_epoch_ns}
        try:
            size = _write_whole(file, MAGIC + _event_record("begin", self._begin_ns, {**begin, "part": 0}))
        except OSError as error:
            self._stop(error)
        while (handed := self._queue.get()) is not None:
            chunk, used = handed
            if self.error is None:
                try:
                    if self._rotate_bytes and size + used > self._rotate_bytes and has_records:
                        _write_whole(file, _event_record("continued", last_ns, {}))
                        self._finish(file, self.parts - 1)
                        file = self._open_part()
                        again = _event_record("begin", self._begin_ns, {**begin, "part": self.parts - 1})
                        size = _write_whole(file, MAGIC + again)
                    with memoryview(chunk) as view:
                        size += _write_whole(file, view[:used])
                    has_records = True
                except OSError as error:
                    self._stop(error)
            if len(chunk) == CHUNK:
                self._free.append(chunk)
            self._written += 1
        try:
            if self.error is None:
                _write_whole(file, _event_record("end", last_ns, {"frames": self.frames, "dropped": self.dropped}))
            self._finish(file, self.parts - 1)
        except OSError as error:
            self._stop(error)

    def _finish(self, file, int part):
        file.close()
        if self._compressor is not None and self.error is None:
            self._compressor.take(part_path(self.path, part))

    def _stop(self, error):
        if self.error is None:
            self.error = error
            _log.warning("recording to %s stopped, market data goes on: %s", self.path, error)


def _write_whole(file, data):
    """Write all of it, however many calls that takes; give its size."""
    written = 0
    with memoryview(data) as view:
        while written < len(view):
            with view[written:] as rest:
                written += file.write(rest)
    return written


class _Compressor:
    """A thread that turns finished parts into .zst files, one after the other."""

    def __init__(self):
        try:
            self._zstandard = import_module("zstandard")
        except ModuleNotFoundError:
            raise ConfigError("compress", True, "False without zstandard: pip install 'kraken_fast[record]'") from None
        self._paths = queue.SimpleQueue()
        self._thread = None

    def take(self, path):
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kraken_fast compress", daemon=True)
            self._thread.start()
        self._paths.put(path)

    def close(self):
        if self._thread is not None:
            self._paths.put(None)
            self._thread.join()

    def _run(self):
        while (path := self._paths.get()) is not None:
            try:
                self._compress(path)
            except OSError as error:
                _log.warning("%s stays uncompressed: %s", path, error)

    def _compress(self, path):
        """Compress under another name, so that a crash leaves the part as it was."""
        target, scratch = f"{path}.zst", f"{path}.zst.part"
        compressor = self._zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
        try:
            with open(path, "rb") as source, open(scratch, "xb", opener=_private) as file:
                compressor.copy_stream(source, file)
            os.replace(scratch, target)
        except OSError:
            Path(scratch).unlink(missing_ok=True)
            raise
        os.unlink(path)


def _private(path, flags):
    return os.open(path, flags, 0o600)


cdef class CaptureReader:
    """Iterates over a capture, or its .zst: (kind, recv_ns, payload), kind `frame` or `event`.

    Attributes:
        offset: of the record that comes next; in a .zst, of what it holds.

    Raises:
        CaptureError: not a capture, or damaged; its `offset` is where the intact part ends, all of which was given.
        OSError: the file cannot be read.
    """

    cdef readonly str path
    cdef readonly int64_t offset      # of the record that comes next
    cdef object _file
    cdef bint _ended

    def __init__(self, path):
        self.path = os.fspath(path)
        self._file = open(self.path, "rb")
        try:
            if self._file.peek(len(ZSTD_MAGIC))[:len(ZSTD_MAGIC)] == ZSTD_MAGIC:
                self._file = _decompressed(self.path, self._file)
            if self._read(len(MAGIC)) != MAGIC:
                raise CaptureError(self.path, 0, "not a capture, or of another version")
        except BaseException:
            self._file.close()
            raise
        self.offset = len(MAGIC)

    def __iter__(self):
        return self

    def __next__(self):
        cdef Header header
        cdef bytes head = self._read(HEADER)
        cdef bytes payload
        if not head:
            self._file.close()
            if not self._ended:
                raise CaptureError(self.path, self.offset, "cut before its end")
            raise StopIteration
        if self._ended:
            raise CaptureError(self.path, self.offset, "goes on after its end")
        if len(head) < HEADER:
            raise CaptureError(self.path, self.offset, "cut within a record's header")
        memcpy(&header, PyBytes_AS_STRING(head), HEADER)
        if header.size > PAYLOAD_MAX or header.kind > KIND_EVENT:
            raise CaptureError(self.path, self.offset, "damaged header")
        payload = self._read(header.size)
        if len(payload) < <Py_ssize_t>header.size:
            raise CaptureError(self.path, self.offset, "cut within a record")
        if _check(&header, PyBytes_AS_STRING(payload)) != header.check:
            raise CaptureError(self.path, self.offset, "damaged record")
        if header.kind == KIND_EVENT:
            try:
                self._ended = json.loads(payload)["event"] in ENDINGS
            except (ValueError, LookupError, TypeError):
                raise CaptureError(self.path, self.offset, "an event that is none") from None
        self.offset += HEADER + header.size
        return ("frame" if header.kind == KIND_FRAME else "event", header.recv_ns, payload)

    def _read(self, size):
        try:
            return self._file.read(size)
        except OSError:
            raise
        except Exception as error:      # zstandard's own, which is not named here: it may not be installed
            raise CaptureError(self.path, self.offset, f"damaged compression ({error})") from error

    def close(self):
        """Close the file."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _decompressed(path, file):
    try:
        zstandard = import_module("zstandard")
    except ModuleNotFoundError:
        raise CaptureError(path, 0, "compressed; pip install 'kraken_fast[record]' to read it") from None
    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True), 1 << 20)
