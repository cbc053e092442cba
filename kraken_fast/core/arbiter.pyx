# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Several lines, one stream: the first verified copy of each new state is told, the others are compared and dropped.

Theory. Each line has a decoder with stores of its own; its `Leg` hears what the decoder tells. Books, tickers and
candles go to their `Post`, which knows news from copies (see `posts`). Trades have numbers without gaps in a symbol:
what is next is told, what was told is dropped, and what comes too early is held until the trades before it came, from
another line or from `fill`, or until whoever owns the arbiter gives them up; only then is a gap told.

A book's news is told with the store of the line that brought it. A line that begins ahead of the others waits
(`posts`), and copies of its states wait with it, so that nothing is lost if the line before it dies in between.

The checksum covers the ten best levels. Deeper books are compared level by level, once a second, at a moment when both
lines stand at the same state; if they differ, the line whose snapshot is older is asked to begin anew.

Bench: benchmarks/bench_coordinator.py.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from ..types import Gap
from .book cimport BookSnapshot, OrderBook, PriceQty, Side
from .checksum cimport TOP
from .clock cimport Clock, SystemClock
from .defs cimport BOOK_VALID, FAILED, OK, Status
from .handler cimport Handler
from .line cimport Line
from .market cimport (
    CANDLE_SAME, NUMBER_ABSENT, TICKER_NUMBERS, CandleData, CandleEvent, CandleLog, LiveTicker, Number,
    TickerSnapshot, Trade, TradeData, TradeLog, Words,
)
from .posts cimport RING, VERDICT_COPY, VERDICT_NEWS, VERDICT_ODD, VERDICT_WAIT, Mark, Post, Seat, Verdict


cdef enum:
    CANDLES = 24                     # places of a CandleLog's ring
    KNOWN_WORDS = 4                  # buy, sell, limit, market have the same codes everywhere
    HELD_MAX = 1000                  # trades that wait for one before them, a symbol
    QUEUE_MAX = 64                   # states of a book that wait, a line
    WAIT_NS = 250_000_000            # how long they may: T_lag, faults.md section 0
    COMPARE_NS = 1_000_000_000       # between two comparisons of a deep book; D02 allows 5 s


cdef inline Mark _book_mark(OrderBook book) noexcept:
    cdef Mark mark
    mark.at = book.stamp.us
    mark.sub = book.stamp.ns
    mark.content = book.checksum
    return mark


cdef inline uint64_t _mix(uint64_t mixed, uint64_t value) noexcept:
    # The multiplier and the shift are those of MurmurHash3's finaliser.
    mixed = (mixed ^ value) * <uint64_t>0xff51afd7ed558ccd
    return mixed ^ (mixed >> 33)


cdef inline uint64_t _mix_number(uint64_t mixed, const Number* number) noexcept:
    if number.form == NUMBER_ABSENT:
        return _mix(mixed, 1)
    return _mix(mixed, <uint64_t>number.mantissa + (<uint64_t>(number.digits * 4 + number.form) << 56))


cdef Mark _ticker_mark(LiveTicker ticker) noexcept:
    """A ticker has no number of its own: its time and all that it says tell it from others."""
    cdef Mark mark
    cdef uint64_t mixed = _mix(0, <uint64_t>ticker._trades)
    cdef int i
    for i in range(TICKER_NUMBERS):
        mixed = _mix_number(mixed, &ticker.numbers[i])
    mark.at = ticker.stamp.us
    mark.sub = ticker.stamp.ns
    mark.content = <uint32_t>(mixed ^ (mixed >> 32))
    return mark


cdef Mark _candle_mark(const CandleData* candle) noexcept:
    """A candle grows with its trades: its beginning and their number order its states."""
    cdef Mark mark
    cdef uint64_t mixed = _mix_number(0, &candle.open)
    mixed = _mix_number(mixed, &candle.high)
    mixed = _mix_number(mixed, &candle.low)
    mixed = _mix_number(mixed, &candle.close)
    mixed = _mix_number(mixed, &candle.vwap)
    mixed = _mix_number(mixed, &candle.volume)
    mark.at = candle.begin_us
    mark.sub = <int>min(candle.trades, <int64_t>0x7fffffff)
    mark.content = <uint32_t>(mixed ^ (mixed >> 32))
    return mark


cdef bint _same_side(const Side* a, const Side* b) noexcept:
    cdef int count = a.hi - a.lo
    return count == b.hi - b.lo and memcmp(a.levels + a.lo, b.levels + b.lo, count * sizeof(PriceQty)) == 0


cdef bint _same_levels(OrderBook a, OrderBook b) noexcept:
    if a.price_scale != b.price_scale or a.qty_scale != b.qty_scale or a.depth != b.depth:
        return True                  # one has just learned of a new precision: nothing can be said
    return _same_side(&a.bid_side, &b.bid_side) and _same_side(&a.ask_side, &b.ask_side)


cdef class TradeSeat:
    """How far one line has come with the trades of one symbol."""

    def __init__(self, Line line, TradePost post):
        self.line = line
        self.name = line.name
        self.post = post


cdef class TradePost:
    """The trades of one symbol as they were published.

    Attributes:
        log: the last of them.
        copies, filled: messages dropped; trades that came from another line than the one that went ahead.
        seats: one for each line that has told some.
        held_ns: since when trades wait for one before them; 0 if none does.
    """

    def __init__(self, str symbol, TradeLog log):
        self.symbol = symbol
        self.log = log
        self.seats = []
        self.held = {}

    @property
    def missing(self):
        """First and last id that those held wait for, None if none does."""
        return (self.log.last_id + 1, min(self.held) - 1) if self.held else None


cdef class CandlePost:
    """The candles of one symbol and interval as they were published."""

    def __init__(self, str symbol, int interval, Line line):
        self.post = Post("ohlc", symbol, interval)
        self.log = CandleLog(symbol, interval, line)


cdef class Leg(Handler):
    """One line's way into the arbiter: what its decoder tells, in C. Made by `Arbiter.leg`."""

    def __init__(self, Arbiter arbiter, Line line):
        self.arbiter = arbiter
        self.line = line
        self.name = line.name

    cdef Status on_book(self, OrderBook book) except FAILED:
        cdef Post post
        cdef Seat seat
        cdef Verdict verdict
        if book.seat is None:
            post = self.arbiter.post_of("book", book.symbol)
            seat = post.sit(Seat(self.line))
            seat.book = book
            book.seat = seat
        seat = <Seat>book.seat
        post = seat.post
        if book._state != BOOK_VALID and post.is_led_without(seat):
            return OK
        verdict = post.judge(seat, _book_mark(book), book.begins, book.changed_ns)
        if verdict == VERDICT_COPY:
            self.arbiter.copies += 1
            if book.depth > TOP and seat.place == post.count and book.changed_ns - post.compared_ns >= COMPARE_NS:
                return self.arbiter.compare(post, seat, book.changed_ns)
            return OK
        if verdict == VERDICT_NEWS:
            self.arbiter.deliver_book(book)
            return self.arbiter.join(post) if self.arbiter.queues else OK
        if verdict == VERDICT_WAIT:
            return self.arbiter.waiting_book(post, seat, book, book.changed_ns)
        self.arbiter.copies += 1
        if verdict == VERDICT_ODD and book._state == BOOK_VALID:
            self.arbiter.diverged += 1
            return self.arbiter.tell(self.arbiter.on_divergence, (book.symbol, self.name, "equal times"))
        return OK

    cdef Status on_ticker(self, LiveTicker ticker) except FAILED:
        cdef Post post
        cdef Seat seat
        if ticker.seat is None:
            post = self.arbiter.post_of("ticker", ticker.symbol)
            seat = post.sit(Seat(self.line))
            seat.ticker = ticker
            ticker.seat = seat
        seat = <Seat>ticker.seat
        post = seat.post
        if post.judge(seat, _ticker_mark(ticker), seat.epoch != self.line.epoch, ticker.changed_ns) != VERDICT_NEWS:
            self.arbiter.copies += 1
            return OK
        self.arbiter.news += 1
        return self.arbiter.handler.on_ticker(ticker)

    cdef Status on_trade(self, TradeLog log, const TradeData* trade) except FAILED:
        cdef TradePost post
        cdef TradeSeat seat
        cdef TradeData copy
        if log.seat is None:
            post = self.arbiter.trades_of(log.symbol)
            seat = TradeSeat(self.line, post)
            post.seats = [other for other in post.seats if (<TradeSeat>other).line is not self.line] + [seat]
            log.seat = seat
        seat = <TradeSeat>log.seat
        post = seat.post
        seat.last_id = trade.trade_id
        seat.said_ns = trade.recv_ns
        if trade.trade_id <= post.log.last_id:
            post.copies += 1
            self.arbiter.copies += 1
            return OK
        copy = trade[0]
        if copy.side >= KNOWN_WORDS or copy.ord_type >= KNOWN_WORDS:
            copy.side = self.arbiter.code_of(log.words, copy.side)
            copy.ord_type = self.arbiter.code_of(log.words, copy.ord_type)
        return self.arbiter.offer_trade(post, &copy)

    cdef Status on_candle(self, CandleLog log, uint64_t position, CandleEvent event) except FAILED:
        cdef CandlePost candles
        cdef Seat seat
        cdef const CandleData* candle = &log.ring[position % CANDLES]
        cdef CandleEvent told
        cdef bint begins
        if log.seat is None:
            candles = self.arbiter.candles_of(log.symbol, log.interval)
            log.seat = (candles, candles.post.sit(Seat(self.line)))
        candles, seat = <tuple>log.seat
        begins = seat.epoch != self.line.epoch
        if candles.post.judge(seat, _candle_mark(candle), begins, candle.recv_ns) != VERDICT_NEWS:
            self.arbiter.copies += 1
            return OK
        told = candles.log.add(candle, log.held_at[position % CANDLES])
        if told == CANDLE_SAME:
            return OK
        self.arbiter.news += 1
        return self.arbiter.handler.on_candle(candles.log, candles.log.position_of(candle.begin_us), told)


cdef OrderBook _copy_of(OrderBook book):
    """A book of its own, as this one is now."""
    cdef OrderBook copy = OrderBook(
        book.symbol, book.depth, line=book.line, price_scale=book.price_scale, qty_scale=book.qty_scale,
        portable=book.portable,
    )
    _copy_side(&copy.bid_side, &book.bid_side)
    _copy_side(&copy.ask_side, &book.ask_side)
    copy._state = book._state
    copy._doubtful = book._doubtful
    copy._complete = book._complete
    copy.begins = book.begins
    copy.checksum = book.checksum
    copy.stamp = book.stamp
    copy.changed_ns = book.changed_ns
    copy.proven_ns = book.proven_ns
    copy.messages = book.messages
    return copy


cdef Status _copy_side(Side* copy, const Side* side) except FAILED:
    cdef PriceQty* levels = <PriceQty*>PyMem_Malloc(side.capacity * sizeof(PriceQty))
    if levels is NULL:
        raise MemoryError()
    PyMem_Free(copy.levels)
    copy[0] = side[0]
    copy.levels = levels
    memcpy(levels + side.lo, side.levels + side.lo, (side.hi - side.lo) * sizeof(PriceQty))
    return OK


cdef class Arbiter:
    """See the module's text.

    Args:
        handler: told of news, in C.
        clock: for ages.

    Attributes:
        books, tickers, trades, candles: what was published, and how far each line is; by symbol, candles by
            (symbol, interval).
        news, copies: what was told; messages that were told apart from it.
        compared, diverged: deep books compared; times that lines disagreed.
        on_missing, on_divergence: see arbiter.pxd. What they raise is counted and logged by the handler.
        decoding, delivering, travelling: Histograms of the stages of books that are delivered, or None.
    """

    def __init__(self, Handler handler, Clock clock=None):
        self.handler = handler
        self.clock = SystemClock() if clock is None else clock
        self.books = {}
        self.tickers = {}
        self.trades = {}
        self.candles = {}
        self.legs = []
        self.words = Words()
        self.queues = {}

    def leg(self, Line line):
        """Make the way in for one line; set it as `forward` of whoever hears that line's decoder."""
        cdef Leg leg = Leg(self, line)
        self.legs.append(leg)
        return leg

    def forget(self, str channel, str symbol, int interval=0):
        """Forget what was published of something that nobody wants any more."""
        if channel == "book":
            self.books.pop(symbol, None)
        elif channel == "ticker":
            self.tickers.pop(symbol, None)
        elif channel == "trade":
            self.trades.pop(symbol, None)
        elif channel == "ohlc":
            self.candles.pop((symbol, interval), None)

    def post_of(self, str channel, str symbol):
        """The Post of a symbol's book or ticker; made when it is not there."""
        cdef dict posts = self.books if channel == "book" else self.tickers
        cdef Post post
        if symbol not in posts:
            post = posts[symbol] = Post(channel, symbol)
            post.patient = channel == "book"
        return posts[symbol]

    def trades_of(self, str symbol):
        """The TradePost of a symbol; made when it is not there."""
        if symbol not in self.trades:
            self.trades[symbol] = TradePost(symbol, TradeLog(symbol, (<Leg>self.legs[0]).line, self.words))
        return self.trades[symbol]

    def candles_of(self, str symbol, int interval):
        """The CandlePost of a symbol and interval; made when it is not there."""
        key = (symbol, interval)
        if key not in self.candles:
            self.candles[key] = CandlePost(symbol, interval, (<Leg>self.legs[0]).line)
        return self.candles[key]

    cdef int code_of(self, Words words, int code) except -1:
        """Our code of a word that a line has learned."""
        cdef bytes text
        if code < KNOWN_WORDS:
            return code
        text = words.text(code).encode()
        return self.words.code(text, <int>len(text))

    # Books ---------------------------------------------------------------------------------------------------

    cdef Status deliver_book(self, OrderBook book) except FAILED:
        cdef int64_t decoded_ns = 0
        self.news += 1
        if self.decoding is not None:
            decoded_ns = self.clock.now_ns()
            self.decoding.add(decoded_ns - book.changed_ns)
            if self.travelling is not None and book.stamp.us != INT64_MIN:
                self.travelling.add(
                    max(<int64_t>0, self.clock.wall_ns() - decoded_ns + book.changed_ns - book.stamp.us * 1000)
                )
        self.handler.on_book(book)
        if self.delivering is not None and decoded_ns:
            self.delivering.add(self.clock.now_ns() - decoded_ns)
        return OK

    cdef Status waiting_book(self, Post post, Seat seat, OrderBook book, int64_t recv_ns) except FAILED:
        """Keep a state of a line that began ahead; take the line as it is if that lasts too long."""
        cdef list queue
        if book.begins:
            self.queues[seat] = []
        queue = self.queues[seat]
        queue.append(_copy_of(book))
        if len(queue) >= QUEUE_MAX or recv_ns - seat.begun_ns > WAIT_NS or not post.is_led_without(seat):
            return self.take(post, seat)
        return OK

    cdef Status join(self, Post post) except FAILED:
        """The head moved: a line that waits joins, if this is what it began with."""
        cdef Seat seat
        cdef Mark mark, head = post.ring[(post.count - 1) % RING]
        cdef int i
        cdef list queue
        for seat in post.seats:
            if not seat.waits or seat not in self.queues:
                continue
            queue = self.queues[seat]
            for i in range(len(queue)):
                mark = _book_mark(<OrderBook>queue[i])
                if mark.at == head.at and mark.sub == head.sub and mark.content == head.content:
                    self.queues[seat] = queue[i + 1:]
                    seat.waits = False
                    seat.place = post.count
                    seat.placed = True
                    return self.take(post, seat)
        return OK

    cdef Status take(self, Post post, Seat seat) except FAILED:
        """Tell what a line has said while it waited."""
        cdef list queue = self.queues.pop(seat, [])
        cdef OrderBook book
        seat.waits = False
        for book in queue:
            # Only the first can be late: the head moved past it without ever being it.
            if post.judge(seat, _book_mark(book), False, seat.said_ns) == VERDICT_NEWS:
                self.deliver_book(book)
        return OK

    cdef Status settle(self, int64_t now_ns) except FAILED:
        """End waiting that nothing will end."""
        cdef Post post
        cdef Seat seat
        for seat in list(self.queues):
            post = self.books.get(seat.book.symbol)
            if post is None or seat not in post.seats or not seat.serves():
                del self.queues[seat]
                seat.waits = False
            elif now_ns - seat.begun_ns > WAIT_NS or not post.is_led_without(seat):
                self.take(post, seat)
        return OK

    def settle_waiting(self):
        """A line was lost, or time has passed: tell what waited for it."""
        if self.queues:
            self.settle(self.clock.now_ns())

    cdef Status compare(self, Post post, Seat seat, int64_t recv_ns) except FAILED:
        """Two lines stand at the same state: below the ten best only this shows whether they agree."""
        cdef Seat other, older
        for other in post.seats:
            if other is seat or other.book is None or not other.placed or other.place != post.count or (
                    not other.serves()):
                continue
            post.compared_ns = recv_ns
            self.compared += 1
            if not _same_levels(seat.book, other.book):
                self.diverged += 1
                older = seat if seat.begun_ns < other.begun_ns else other
                return self.tell(self.on_divergence, (post.symbol, older.name, "full depth"))
        return OK

    # Trades --------------------------------------------------------------------------------------------------

    cdef Status offer_trade(self, TradePost post, const TradeData* trade) except FAILED:
        if post.log.last_id == 0 or trade.trade_id == post.log.last_id + 1:
            self.publish_trade(post, trade)
            return self.release(post) if post.held else OK
        if trade.trade_id <= post.log.last_id or trade.trade_id in post.held:
            post.copies += 1
            return OK
        post.held[trade.trade_id] = post.log.trade(trade)
        if len(post.held) > HELD_MAX:
            self.give_up(post.symbol)
        elif not post.held_ns:
            post.held_ns = self.clock.now_ns()
            return self.tell(self.on_missing, (post.symbol, post.log.last_id + 1, trade.trade_id - 1))
        return OK

    cdef Status publish_trade(self, TradePost post, const TradeData* trade) except FAILED:
        cdef int64_t gap_first = 0
        post.filled += post.held_ns != 0
        post.log.add(trade, &gap_first)
        self.news += 1
        return self.handler.on_trade(post.log, trade)

    cdef Status release(self, TradePost post) except FAILED:
        """Tell what waited for the trade just told."""
        cdef Trade trade
        cdef int64_t gap_first = 0
        while (post.log.last_id + 1) in post.held:
            trade = post.held.pop(post.log.last_id + 1)
            post.log.add(&trade.data, &gap_first)
            self.news += 1
            self.handler.on_trade(post.log, &trade.data)
        post.held_ns = post.held_ns if post.held else 0
        return OK

    def fill(self, str symbol, rows):
        """Offer trades from elsewhere; those that are missing are told, in order.

        Args:
            symbol: of all of them.
            rows: (trade_id, price, qty, side, ord_type, exch_ns), prices and quantities as Decimal.

        Returns:
            How many of them were told, or now wait for one before them.
        """
        cdef TradePost post = self.trades_of(symbol)
        cdef uint64_t before = post.log.received + len(post.held)
        cdef TradeData trade
        for trade_id, price, qty, side, ord_type, exch_ns in rows:
            if trade_id <= post.log.last_id:
                continue
            trade.trade_id = trade_id
            trade.price, trade.price_digits = _mantissa(price)
            trade.qty, trade.qty_digits = _mantissa(qty)
            trade.recv_ns = self.clock.now_ns()
            trade.stamp.us = exch_ns // 1000
            trade.stamp.ns = exch_ns % 1000
            trade.side = self.words.code(side.encode(), <int>len(side))
            trade.ord_type = self.words.code(ord_type.encode(), <int>len(ord_type)) if ord_type else 0
            self.offer_trade(post, &trade)
        return post.log.received + len(post.held) - before

    def give_up(self, str symbol):
        """Declare the trades missing before those held as lost, and tell those held.

        Returns:
            The Gap that the handler was told of; None if nothing was missing.
        """
        cdef TradePost post = self.trades_of(symbol)
        cdef int64_t gap_first = 0
        cdef Trade trade
        if not post.held:
            return None
        trade = post.held.pop(min(post.held))
        gap = Gap(symbol, post.log.last_id + 1, trade.data.trade_id - 1)
        self.tell(self.handler.on_gap, (gap,))
        post.log.add(&trade.data, &gap_first)
        self.news += 1
        self.handler.on_trade(post.log, &trade.data)
        self.release(post)
        if post.held:
            post.held_ns = self.clock.now_ns()
            self.tell(self.on_missing, (symbol, *post.missing))
        return gap

    # Reading -------------------------------------------------------------------------------------------------

    def book(self, str symbol):
        """The freshest live OrderBook of a symbol; None if no line has one."""
        cdef Post post = self.books.get(symbol)
        cdef Seat seat = None if post is None else post.best(self.clock.now_ns())
        return None if seat is None else seat.book

    def ticker(self, str symbol):
        """The freshest LiveTicker of a symbol that is live; None if no line has one."""
        cdef Post post = self.tickers.get(symbol)
        cdef Seat seat = None if post is None else post.best(self.clock.now_ns())
        return None if seat is None else seat.ticker

    def read_book(self, str symbol):
        """Copy the freshest book, live or not; None if no line ever had one.

        A line's own store cannot know that another line is ahead of it: here such a book is stale.
        """
        cdef Post post = self.books.get(symbol)
        cdef BookSnapshot copy
        cdef Seat seat
        cdef int64_t now_ns
        if post is None:
            return None
        now_ns = self.clock.now_ns()
        seat = post.best(now_ns)
        if seat is not None:
            return seat.book.snapshot()
        seat = post.latest()
        if seat is None:
            return None
        copy = seat.book.snapshot()
        if copy.quality == "live":
            copy.quality = "stale"
        if copy.age_ms is not None:
            copy.age_ms = max(copy.age_ms, post.missing_ns(seat, now_ns) / 1e6)
        return copy

    def read_ticker(self, str symbol):
        """Copy the freshest ticker, live or not, as `read_book` does."""
        cdef Post post = self.tickers.get(symbol)
        cdef TickerSnapshot copy
        cdef Seat seat
        cdef int64_t now_ns
        if post is None:
            return None
        now_ns = self.clock.now_ns()
        seat = post.best(now_ns)
        if seat is not None:
            return seat.ticker.snapshot()
        seat = post.latest()
        if seat is None:
            return None
        copy = seat.ticker.snapshot()
        if copy.quality == "live":
            copy.quality = "stale"
        if copy.age_ms is not None:
            copy.age_ms = max(copy.age_ms, post.missing_ns(seat, now_ns) / 1e6)
        return copy

    # Watching ------------------------------------------------------------------------------------------------

    def served(self, str channel):
        """The symbols whose book or ticker a line can serve as live at this moment. Cost: O(symbols)."""
        cdef Post post
        cdef int64_t now_ns = self.clock.now_ns()
        posts = self.books if channel == "book" else self.tickers
        return [symbol for symbol, post in posts.items() if post.best(now_ns) is not None]

    def behind(self, int64_t since_ns):
        """What lines have not told for at least `since_ns` though another one has, and go on not telling.

        Call it often: a line is behind since the first call that found it so, and told nothing new since.

        Returns:
            (channel, symbol, interval, line name, missing for ns) of each.
        """
        cdef Post post
        cdef Seat seat
        cdef TradePost trades
        cdef TradeSeat trade_seat
        cdef CandlePost candles
        cdef int64_t now_ns = self.clock.now_ns()
        cdef list found = []
        cdef list posts = [*self.books.values(), *self.tickers.values()]
        for candles in self.candles.values():
            posts.append(candles.post)
        for post in posts:
            for seat in post.seats:
                if post.count == 0 or post.is_level(seat) or seat.waits or (
                        not seat.line.is_fresh()):
                    seat.behind_ns = 0
                elif not seat.behind_ns or seat.behind_at != seat.said:
                    seat.behind_ns = now_ns
                    seat.behind_at = seat.said
                elif now_ns - seat.behind_ns >= since_ns:
                    found.append((post.channel, post.symbol, post.interval, seat.name, now_ns - seat.behind_ns))
        for trades in self.trades.values():
            for trade_seat in trades.seats:
                if trade_seat.last_id >= trades.log.last_id or not trade_seat.line.is_fresh():
                    trade_seat.behind_ns = 0
                elif not trade_seat.behind_ns:
                    trade_seat.behind_ns = now_ns
                elif trade_seat.said_ns > trade_seat.behind_ns:
                    trade_seat.behind_ns = trade_seat.said_ns
                elif now_ns - trade_seat.behind_ns >= since_ns:
                    found.append(("trade", trades.symbol, 0, trade_seat.name, now_ns - trade_seat.behind_ns))
        return found

    def lags(self):
        """How far each line is behind in its books, in ns, by name: the oldest state that it still owes."""
        cdef Post post
        cdef Seat seat
        cdef int64_t now_ns = self.clock.now_ns()
        cdef dict found = {(<Leg>leg).name: 0 for leg in self.legs}
        for post in self.books.values():
            for seat in post.seats:
                if seat.epoch == seat.line.epoch and not seat.waits:
                    found[seat.name] = max(found[seat.name], post.missing_ns(seat, now_ns))
                    # A snapshot repeats what stands, however long it has; and a book may fall quiet after a late copy.
                    if seat.said_ns != seat.begun_ns and now_ns - seat.said_ns <= COMPARE_NS:
                        found[seat.name] = max(found[seat.name], seat.lag_ns)
        return found

    cdef Status tell(self, object listener, tuple args) except FAILED:
        if listener is not None:
            try:
                listener(*args)
            except Exception as error:
                self.handler.failed(getattr(listener, "__name__", "arbiter"), error)
        return OK


cdef tuple _mantissa(number):
    """The integer and the number of decimals of a Decimal, as a trade's line would hold them."""
    exponent = number.as_tuple().exponent
    if exponent > 0:
        return int(number), 0
    return int(number.scaleb(-exponent)), -exponent
