# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Telling news from copies when several lines tell the same story at different times.

Theory. All lines of a thing (a book, a ticker, a candle) tell the same sequence of states, each at its own pace, and a
line may begin anywhere, by a snapshot. A state is known by its mark: exchange time and content, which for a book is the
exchange's checksum. A `Post` keeps the marks of the last states that were published, a `Seat` the place of each line
in that sequence. From this follows what a message is:

- A line at the head of the sequence says something: news, whatever its time, because a line's own order is the truth.
- A line behind says what follows its place: a copy, one comparison. This is the common case and costs what it must.
- A line that has just begun, or whose next state is not in the ring, is placed by its mark, else judged by time: later
  than the head is news; earlier is late and not told, so what is published never goes back.
- Equal times: several messages may carry one. A mark that is not among the published ones of that time is news only if
  the line has just begun and the first state of that time is known to be published; else it is odd, and counted.

- A line that begins later than the head, while another one goes on without a gap, waits: what lies between is on its
  way. It joins when the head reaches what it began with, or is taken as it is when that line dies or 250 ms passed.
  Only posts that are `patient` do so, those of books: of a ticker or a candle the newest is all that counts. Their
  snapshots may hold what no update ever told, so a line that has told all but those is level.

A line that lags is followed by nobody, one that is alone is the head: no line is preferred, and nothing has to be
switched when one dies. If nothing is news for longer than any line may lag, though lines speak, the head was wrong (a
time from the future on a line that fell silent), and the first that still speaks becomes the head.

Invariant: a state is published once, and in the order of one of its lines.
Bench: benchmarks/bench_coordinator.py.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint64_t

from .defs cimport BOOK_VALID
from .line cimport Line


cdef enum:
    LAG_NS = 250_000_000             # T_lag, how far apart living lines are; faults.md section 0
    LATE_MAX_NS = 5_000_000_000      # no line lags longer and lives; faults.md N07

VERDICTS = ("news", "copy", "repeat", "late", "odd", "wait")


cdef inline bint _same(const Mark* a, const Mark* b) noexcept:
    return a.content == b.content and a.at == b.at and a.sub == b.sub


cdef inline int _order(const Mark* a, const Mark* b) noexcept:
    """Compare times; what has none is as old as anything."""
    if a.at == INT64_MIN or b.at == INT64_MIN:
        return 0
    if a.at != b.at:
        return 1 if a.at > b.at else -1
    return 0 if a.sub == b.sub else 1 if a.sub > b.sub else -1


cdef class Seat:
    """How far one line has come with one thing.

    Attributes:
        line, name: whose seat it is.
        place, placed: how many states had been published when its last one had; whether that is known.
        said, said_ns: its messages, and when the last one came.
        lag_ns: how much later than the first line it told its last copy.
        begun_ns: when its last snapshot came.
        odd: its messages that fit in nowhere.
    """

    def __init__(self, Line line):
        self.line = line
        self.name = line.name

    cdef bint serves(self) noexcept:
        """Whether its line is alive and its store proven. Whether it is up to date is the post's to say."""
        if self.epoch != self.line.epoch or not self.line.is_fresh():
            return False
        if self.book is not None:
            return self.book._state == BOOK_VALID
        return self.ticker is None or self.ticker.epoch == self.line.epoch

    @property
    def is_serving(self):
        """Whether its line is alive and its store proven."""
        return self.serves()


cdef class Post:
    """What was published of one thing, and how far each line has come with it.

    Attributes:
        channel, symbol, interval: what it is about.
        count: states published. due: those of them that every line has to tell.
        copies, repeats, late, odd: messages that were not published.
        news_ns: arrival of the last one published.
        seats: one for each line that has told something.
    """

    def __init__(self, str channel, str symbol, int interval=0):
        self.channel = channel
        self.symbol = symbol
        self.interval = interval
        self.seats = []

    def sit(self, Seat seat):
        """Give a line its seat, in the place of one that an earlier store of it had."""
        seat.post = self
        self.seats = [other for other in self.seats if (<Seat>other).line is not seat.line] + [seat]
        return seat

    cdef Verdict judge(self, Seat seat, Mark mark, bint begins, int64_t recv_ns) noexcept:
        seat.said += 1
        seat.said_ns = recv_ns
        seat.epoch = seat.line.epoch
        if begins:
            seat.begun_ns = recv_ns
            seat.waits = False
        elif seat.waits:
            return VERDICT_WAIT
        elif seat.placed:
            if seat.place != self.count:
                if self.count - seat.place <= RING and _same(&self.ring[seat.place % RING], &mark):
                    return self._match(seat, seat.place + 1, recv_ns)
            elif _same(&self.ring[(self.count - 1) % RING], &mark):
                self.repeats += 1
                return VERDICT_REPEAT
            else:
                return self._publish(seat, mark, begins, recv_ns)
        return self._search(seat, mark, begins, recv_ns)

    cdef Verdict _search(self, Seat seat, Mark mark, bint begins, int64_t recv_ns) noexcept:
        """Look for a state among those published: ahead of the line's place, or anywhere if it has none."""
        cdef uint64_t oldest = self.count - RING if self.count > RING else 0
        cdef uint64_t place = oldest
        if seat.placed and not begins and seat.place > oldest:
            place = seat.place
            if _same(&self.ring[(place - 1) % RING], &mark):
                self.repeats += 1
                return VERDICT_REPEAT
        while place < self.count:
            if _same(&self.ring[place % RING], &mark):
                return self._match(seat, place + 1, recv_ns)
            place += 1
        return self._by_time(seat, mark, begins, recv_ns)

    cdef Verdict _by_time(self, Seat seat, Mark mark, bint begins, int64_t recv_ns) noexcept:
        cdef int order
        if self.count == 0:
            return self._publish(seat, mark, begins, recv_ns)
        order = _order(&mark, &self.ring[(self.count - 1) % RING])
        if order >= 0 and begins and self.patient and self.is_led_without(seat):
            seat.placed = False
            seat.waits = True
            return VERDICT_WAIT
        if order > 0:
            return self._publish(seat, mark, begins, recv_ns)
        if order == 0 and begins and (self.whole or not self.holder.serves() or self.holder is seat):
            return self._publish(seat, mark, begins, recv_ns)
        if recv_ns - self.news_ns > <int64_t>LATE_MAX_NS:
            return self._publish(seat, mark, begins, recv_ns)
        if begins:
            seat.placed = False
        if order < 0:
            # By the exchange's clock.
            seat.lag_ns = (self.ring[(self.count - 1) % RING].at - mark.at) * 1000
            self.late += 1
            return VERDICT_LATE
        self.odd += 1
        seat.odd += 1
        return VERDICT_ODD

    cdef Verdict _publish(self, Seat seat, Mark mark, bint begins, int64_t recv_ns) noexcept:
        cdef uint64_t here = self.count % RING
        if self.count == 0 or _order(&mark, &self.ring[(self.count - 1) % RING]) != 0:
            self.whole = not begins
        self.ring[here] = mark
        self.came_ns[here] = recv_ns
        self.count += 1
        if self.patient or not begins:
            self.due = self.count
        self.news_ns = recv_ns
        self.holder = seat
        seat.place = self.count
        seat.placed = True
        seat.waits = False
        seat.lag_ns = 0
        return VERDICT_NEWS

    cdef Verdict _match(self, Seat seat, uint64_t place, int64_t recv_ns) noexcept:
        seat.place = place
        seat.placed = True
        seat.lag_ns = recv_ns - self.came_ns[(place - 1) % RING]
        self.copies += 1
        return VERDICT_COPY

    cdef bint is_led_without(self, Seat seat) noexcept:
        """Whether another line lives and tells all without a gap, be it at the head or on its way there."""
        cdef Seat other
        for other in self.seats:
            if other is not seat and other.placed and other.serves():
                return True
        return False

    cdef bint is_level(self, Seat seat) noexcept:
        """Whether a line has told all that it owes."""
        return seat.placed and seat.place >= self.due

    cdef Seat best(self, int64_t now_ns):
        """Who can be read as live: at the head, or so shortly behind it as lines are; None if nobody can."""
        cdef Seat seat, found = None
        if self.holder is not None and self.holder.serves():
            return self.holder
        for seat in self.seats:
            if not seat.serves() or not seat.placed:
                continue
            if self.is_level(seat):
                return seat
            if now_ns - self.news_ns <= LAG_NS and (found is None or seat.place > found.place):
                found = seat
        return found

    cdef Seat latest(self):
        """Who holds the newest that is known, live or not; None if nobody has told anything."""
        cdef Seat seat, found = self.holder
        for seat in self.seats:
            if found is None or (self.is_level(seat) and seat.said_ns > found.said_ns):
                found = seat
        return found

    cdef int64_t missing_ns(self, Seat seat, int64_t now_ns) noexcept:
        """For how long a state has been published that this line has not told; 0 if it is at the head."""
        cdef uint64_t oldest = self.count - RING if self.count > RING else 0
        if self.count == 0 or self.is_level(seat):
            return 0
        if seat.placed and seat.place > oldest:
            oldest = seat.place
        return max(<int64_t>1, now_ns - self.came_ns[oldest % RING])

    def offer(self, Seat seat, at, int content, *, bint begins=False, int64_t recv_ns=1):
        """Judge one state: for tests and tools.

        Args:
            seat: of the line that tells it; it is added when it is new.
            at: exchange time, or None.
            content: what the state holds, 32 bits.
            begins: it is a snapshot.
            recv_ns: arrival, monotonic.

        Returns:
            news, copy, repeat, late, odd or wait.
        """
        cdef Mark mark
        mark.at = INT64_MIN if at is None else at
        mark.sub = 0
        mark.content = content
        if seat.post is not self:
            self.sit(seat)
        return VERDICTS[<int>self.judge(seat, mark, begins, recv_ns)]

    def __repr__(self):
        return f"<Post {self.channel} {self.symbol} {self.count} states, {len(self.seats)} lines>"
