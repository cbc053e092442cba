# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, freethreading_compatible=False
"""From picows' frames to a sink's messages: the only module that is compiled against picows.

One listener serves one line for all its life, connection after connection. It knows the present connection by its
transport object: whatever still arrives from an older one is counted and dropped, so nothing of an older epoch can be
applied. picows itself goes on delivering frames for up to 10 ms after it failed a connection or after we did; those
are dropped the same way.

The owner hears: on_open(listener); then, unless it abandons the connection itself, exactly once
on_closed(code, reason, was_clean), the moment the connection is over for whatever cause; in between on_writable(bool)
and on_error(exception, count). Whoever owns the line decides how long the socket of an ended connection may linger.
"""

import logging

import picows
from picows.picows import _make_test_ws_frame

cimport cython
from libc.stdint cimport int64_t
from picows.picows cimport WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from .clock cimport Clock, SystemClock
from .defs cimport FAILED, OK, REFUSED, IGNORED, Status
from .frames cimport (
    FramePolicy, Span, Verdict,
    VERDICT_BINARY, VERDICT_CLOSE, VERDICT_FAIL, VERDICT_NOTHING, VERDICT_PING, VERDICT_TEXT,
)
from .sink cimport MessageSink
from .tee cimport Tee

_log = logging.getLogger("kraken_fast.listener")

PICOWS_VERSION = "2.3.1"
"""The picows release whose structs are compiled into this module; pyproject.toml pins the same one."""

# Pongs: so many at once, then one per interval. RFC 6455 section 5.5.3 lets us answer only the latest of several
# pings. The burst covers the ten that the Autobahn cases 2.10 and 2.11 want answered one by one.
cdef int64_t PONG_BURST = 16
cdef int64_t PONG_INTERVAL_NS = 10_000_000
# No pong while this much of ours waits to be sent: a peer that pings and does not read must not fill our memory.
cdef Py_ssize_t PONG_BACKLOG_MAX = 64 << 10

cdef int CLOSE_NORMAL = 1000
cdef int CLOSE_NO_CODE = 1005
cdef int CLOSE_ABNORMAL = 1006
cdef int CLOSE_NOT_UTF8 = 1007


def _retrieve(future):
    """Take the exception that picows leaves for a waiter, or asyncio complains about it at exit."""
    if not future.cancelled():
        future.exception()


@cython.auto_pickle(False)
cdef class LineListener(WSListener):
    """Takes the frames of one line.

    Args:
        sink: gets every complete message.
        clock: stamps each read.
        owner: hears of the connection's life, see the module's text; None hears nothing.
        message_bytes_max: largest message, whole or as the sum of its fragments.
        fragments_max: most frames that one message may come in.
        tee: gets a copy of every text message, or None.
    """

    def __cinit__(
        self, MessageSink sink not None, Clock clock not None, owner=None, *,
        Py_ssize_t message_bytes_max=32 << 20, Py_ssize_t fragments_max=1024, Tee tee=None,
    ):
        self._sink = sink
        self._clock = clock
        self._owner = owner
        self._tee = tee
        self._policy = FramePolicy(message_bytes_max=message_bytes_max, fragments_max=fragments_max)
        self._over = True

    # What picows calls ---------------------------------------------------------------------------------------

    cpdef on_ws_connected(self, WSTransport transport):
        """Begin a new connection; the one before it, if it lingers, is heard no more."""
        transport.disconnected_future.add_done_callback(_retrieve)
        self._transport = transport
        self._policy.restart()
        self._over = False
        self._read_open = False
        self._pong_owed = None
        self._pong_from_ns = 0
        self.last_recv_ns = self._clock.now_ns()
        if self._owner is not None:
            self._owner.on_open(self)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        """Take one frame. Cost: 14 ns and the sink's, measured in a loop; one clock reading, 20 ns, per read."""
        cdef Span message
        cdef Verdict verdict
        if transport is not self._transport or self._over:
            self.frames_ignored += 1
            return
        if not self._read_open:
            self._read_open = True
            self._recv_ns = self._clock.now_ns()
            self._read_messages = 0
            self.reads += 1
        self.frames += 1
        if transport.is_close_frame_sent and frame.msg_type != WSMsgType.CLOSE:
            self.frames_ignored += 1  # we said good-bye, or picows found the next frame broken and did
        else:
            # SAFE: the payload is payload_size bytes in picows' read buffer, which stays until we return.
            verdict = self._policy.accept(
                <int>frame.msg_type, frame.fin, frame.rsv1 | frame.rsv2 | frame.rsv3,
                frame.payload_ptr, frame.payload_size, &message,
            )
            if verdict == VERDICT_TEXT:
                self._take_text(&message)
            elif verdict != VERDICT_NOTHING:
                self._take_other(verdict, &message)
        if frame.last_in_buffer and self._read_open:
            self._end_read()

    cpdef on_ws_disconnected(self, WSTransport transport):
        """The socket is closed. Without a close frame from the peer that is an abnormal end, never a clean one."""
        if transport is self._transport and not self._over:
            handshake = transport.close_handshake
            if handshake is not None and handshake.sent is not None:
                self._end(<int>(<object>int(handshake.sent.code)), handshake.sent.reason or "", False)
            else:
                self._end(CLOSE_ABNORMAL, "", False)

    cpdef pause_writing(self):
        if self._owner is not None:
            self._owner.on_writable(False)

    cpdef resume_writing(self):
        if self._owner is not None:
            self._owner.on_writable(True)

    # Messages ------------------------------------------------------------------------------------------------

    cdef Status _take_text(self, Span* message) except FAILED:
        cdef Status status = OK
        self.messages += 1
        self.message_bytes += message.size
        self._read_messages += 1
        self.last_recv_ns = self._recv_ns
        if self._tee is not None:
            self._copy_to_tee(message)
        try:
            status = self._sink.on_message(message.data, message.size, self._recv_ns)
        except Exception as error:
            self._report(error)
        if status == REFUSED:
            self._fail(CLOSE_NOT_UTF8, b"text is not UTF-8")
        return OK

    cdef Status _copy_to_tee(self, Span* message) except FAILED:
        try:
            self._tee.write(message.data, message.size, self._recv_ns)
        except Exception as error:
            self._tee = None  # a full disk stops the recording, not the data
            self._report(error)
        return OK

    cdef Status _take_other(self, Verdict verdict, Span* message) except FAILED:
        if verdict == VERDICT_FAIL:
            self._fail(self._policy.close_code, self._policy.fail_reason)
        elif verdict == VERDICT_PING:
            self._take_ping(message)
        elif verdict == VERDICT_CLOSE:
            self._take_close(message)
        elif verdict == VERDICT_BINARY:
            try:
                if self._sink.on_binary(message.data, message.size, self._recv_ns) == IGNORED:
                    self.binary_ignored += 1
            except Exception as error:
                self._report(error)
        return OK

    cdef Status _end_read(self) except FAILED:
        self._read_open = False
        if self._pong_owed is not None:
            self._pong()
        if self._read_messages == 0:
            return OK
        if self._read_messages > self.messages_per_read_max:
            self.messages_per_read_max = self._read_messages
        try:
            self._sink.on_batch_end()
        except Exception as error:
            self._report(error)
        return OK

    def _report(self, error):
        """Count an exception of the sink; log the first, and then each power of ten, with the count."""
        self.sink_errors += 1
        digits = str(self.sink_errors)
        if digits.strip("0") == "1":
            _log.error("exception %s in a message callback, the line goes on", digits, exc_info=error)
        if self._owner is not None:
            self._owner.on_error(error, self.sink_errors)

    # Control frames ------------------------------------------------------------------------------------------

    cdef Status _take_ping(self, Span* message) except FAILED:
        self.pings += 1
        self._pong_owed = message.data[:message.size]
        return self._pong()

    cdef Status _pong(self) except FAILED:
        """Answer the latest ping if the allowance covers it; else it stays owed until the next read."""
        cdef int64_t base = max(self._pong_from_ns, self._recv_ns)
        if base - self._recv_ns >= PONG_BURST * PONG_INTERVAL_NS:
            return OK
        if self._transport.underlying_transport.get_write_buffer_size() > PONG_BACKLOG_MAX:
            return OK
        self._pong_from_ns = base + PONG_INTERVAL_NS
        self.pongs_sent += 1
        self._transport.send_pong(self._pong_owed)
        self._pong_owed = None
        return OK

    cdef Status _take_close(self, Span* message) except FAILED:
        cdef int code = self._policy.close_code
        cdef bint answered = self._transport.is_close_frame_sent
        reason = message.data[:message.size].decode("utf-8") if code != CLOSE_NO_CODE else ""
        if not answered:
            # A close frame without a code is answered with 1000: picows always sends one.
            self._transport.send_close(<WSCloseCode>(code if code != CLOSE_NO_CODE else CLOSE_NORMAL))
        return self._end(code, reason, True)

    cdef Status _fail(self, int code, bytes reason) except FAILED:
        self._transport.send_close(<WSCloseCode>code, reason)
        return self._end(code, reason.decode("ascii"), False)

    cdef Status _end(self, int code, str reason, bint was_clean) except FAILED:
        self._over = True
        if self._read_open:
            self._end_read()
        if self._owner is not None:
            self._owner.on_closed(code, reason, was_clean)
        return OK

    # What the owner calls ------------------------------------------------------------------------------------

    def send(self, data, *, bint binary=False):
        """Send one message on the present connection; a connection that ended swallows it."""
        if not self._over:
            self._transport.send(WSMsgType.BINARY if binary else WSMsgType.TEXT, data)

    def close(self, int code=1000, str reason=""):
        """Send a close frame; data that still comes is dropped, the peer's answer is waited for."""
        if not self._over:
            self._transport.send_close(<WSCloseCode>code, reason.encode())

    def abandon(self):
        """Declare the present connection over: from now on nothing of it is heard, on_closed included."""
        self._over = True

    @property
    def unsent_bytes(self) -> int:
        """Bytes of ours that the transport holds because the peer does not read."""
        if self._transport is None or self._over:
            return 0
        return self._transport.underlying_transport.get_write_buffer_size()

    @property
    def is_closing(self) -> bool:
        """A close frame was sent, by us or by picows, and the connection is not over yet."""
        return not self._over and self._transport.is_close_frame_sent

    @property
    def transport(self):
        """The present connection's picows transport, or None."""
        return self._transport


# The self-check --------------------------------------------------------------------------------------------------

cdef class _Probe(MessageSink):
    cdef bytes seen

    cdef Status on_message(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        # Bounded: a wrong layout may well give a size of 140 trillion.
        self.seen = data[:size] if 0 <= size <= 64 else b""
        return OK


def _is_laid_out_as_compiled() -> bool:
    """Read a known frame through the compiled struct offsets and through picows' own accessors."""
    cdef bytes payload = b'{"channel":"heartbeat"}'
    cdef WSFrame plain = _make_test_ws_frame(WSMsgType.TEXT, payload, True, False)
    cdef WSFrame odd = _make_test_ws_frame(WSMsgType.CONTINUATION, payload[:7], False, True)
    cdef WSTransport transport = WSTransport.__new__(WSTransport)
    cdef _Probe probe = _Probe()
    cdef LineListener listener = LineListener(probe, SystemClock())
    if not (
        plain.payload_size == len(payload) and plain.fin == 1 and plain.msg_type == WSMsgType.TEXT
        and plain.last_in_buffer == 1 and plain.tail_size == 0
        and plain.rsv1 == 0 and plain.rsv2 == 0 and plain.rsv3 == 0
        and odd.payload_size == 7 and odd.fin == 0 and odd.rsv1 == 1 and odd.msg_type == WSMsgType.CONTINUATION
        and plain.payload_ptr[:23] == payload and odd.payload_ptr[:7] == payload[:7]
        and transport.is_close_frame_sent == bool((<object>transport).is_close_frame_sent)
    ):
        return False
    listener._transport = transport
    listener._over = False
    (<WSListener>listener).on_ws_frame(transport, plain)
    return probe.seen == payload and listener.frames == 1 and listener.reads == 1 and not listener._read_open


def _check_picows() -> None:
    """Refuse to run on a picows that we were not compiled for: it would be read at wrong offsets.

    Cython compares struct sizes at best (cython/cython#7603); a listener built on picows 1.20.0 and run on 2.0.0 read
    a 7-byte frame as 140 trillion bytes.
    """
    if picows.__version__ != PICOWS_VERSION or not _is_laid_out_as_compiled():
        raise ImportError(
            f"kraken_fast was compiled for picows {PICOWS_VERSION} but found picows {picows.__version__}, or one whose "
            f"frames are laid out differently; run: pip install --force-reinstall picows=={PICOWS_VERSION}"
        )


_check_picows()
