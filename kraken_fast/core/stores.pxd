from libc.stdint cimport int64_t, uint64_t

from .balance_store cimport BalanceStore
from .book cimport OrderBook
from .defs cimport CHANNEL_COUNT, FAILED, Status
from .handler cimport Handler
from .level3 cimport Level3Book
from .line cimport Line
from .market cimport Words
from .order_store cimport OrderStore
from .scan cimport Scanner
from .sequenced cimport Sequenced
from .sink cimport MessageSink
from .symbols cimport Slot, SymbolTable


cdef enum:
    PADDING = 64                               # readable bytes behind a message, zeroed


cdef class Stores(MessageSink):
    cdef readonly Line line
    cdef readonly dict instruments             # symbol -> types.Instrument
    cdef readonly dict assets                  # id -> types.Asset
    cdef readonly uint64_t messages            # whole text messages taken in
    cdef readonly uint64_t malformed           # of a known channel, or not JSON at all
    cdef readonly uint64_t unknown             # well formed, of a channel that we do not know
    cdef readonly uint64_t unwanted            # of symbols that nobody here asked for
    cdef readonly object last_error            # the last DecodeError
    cdef readonly OrderStore orders            # None until wanted
    cdef readonly BalanceStore balances
    cdef Handler handler
    cdef Scanner scanner
    cdef SymbolTable symbols
    cdef Words words
    cdef char* buffer                          # the message in hand
    cdef Py_ssize_t capacity
    cdef Py_ssize_t size
    cdef bint create
    cdef int create_depth
    cdef bint portable
    cdef uint64_t[CHANNEL_COUNT] counts

    # The slot of a symbol not held so far, None unless any symbol is welcome.
    cdef Slot made_for(self, const char* name, int size)
    cdef Slot find(self, str symbol)
    cdef Slot _new_slot(self, str symbol)
    cdef Status reserve(self, Py_ssize_t size) except FAILED
    # Call a plain method of the handler.
    cdef Status tell(self, object method, tuple args) except FAILED
    # `at` is where understanding ended, NULL when the whole was read; `symbol` is "" when it must be searched for.
    cdef Status refuse(self, const char* at, const char* reason, str symbol) except FAILED
    cdef Status lose_book(self, OrderBook book, str reason) except FAILED
    cdef Status lose_level3(self, Level3Book book, str reason) except FAILED
    cdef Status _doubt(self, Sequenced store, str channel) except FAILED
    cdef Status _distrust(self, str channel, list symbols) except FAILED


cdef inline Slot slot_named(Stores stores, const char* name, int size):
    """The slot of a symbol as the wire names it, None if nothing of it is kept."""
    cdef void* slot = stores.symbols.find(name, size)
    return stores.made_for(name, size) if slot is NULL else <Slot>slot
