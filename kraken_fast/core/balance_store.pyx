# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Balances as the exchange tells them: totals and wallets of each asset, and the ledger entries that moved them.

A snapshot tells every asset with its wallets and replaces what was held. Each later message is one ledger entry: it
tells the asset's new total, and moved one wallet by amount less fee. Totals are taken as told; wallets are computed,
exactly, when somebody asks. Nothing here knows what open orders bind: the channel carries no holds.
Source: websocket-v2 channel balances.
Bench: benchmarks/bench_account.py.
"""

from collections import deque
from decimal import Context, Decimal, Inexact, InvalidOperation

from ..types import Wallet
from .packed import as_decimal

from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from .defs cimport CHANNEL_BALANCES, FAILED, IGNORED, OK, Status
from .line cimport Line
from .packed cimport Fields, Kinds, Packed, kinds_of, value_number, value_text
from .sequenced cimport Sequenced
from .tables cimport (
    BALANCE_AMOUNT, BALANCE_ASSET, BALANCE_ASSET_CLASS, BALANCE_BALANCE, BALANCE_CATEGORY, BALANCE_FEE,
    BALANCE_LEDGER_ID, BALANCE_REF_ID, BALANCE_SUBTYPE, BALANCE_TIMESTAMP, BALANCE_TYPE, BALANCE_USER,
    BALANCE_WALLETS, BALANCE_WALLET_ID, BALANCE_WALLET_TYPE, WALLET_BALANCE, WALLET_ID, WALLET_TYPE, Item, Record,
    row_tables,
)


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef enum:
    WALLET_SLOTS = 3
    ASSETS_MAX = 10_000          # the exchange lists about 600
    ENTRIES_MAX = 1_000          # ledger entries kept
    PENDING_MAX = 64             # of one asset, whose wallets nobody asked for meanwhile

cdef Kinds KINDS = kinds_of(row_tables()[<int>CHANNEL_BALANCES])
cdef Kinds WALLET_KINDS = kinds_of(row_tables()[<int>CHANNEL_BALANCES].rows[<int>BALANCE_WALLETS].table)

_EXACT = Context(prec=1_000, traps=[Inexact, InvalidOperation])     # sums never round


cdef BalanceUpdate new_balance_update(const Record* row, const Item* items, bint snapshot, uint64_t sequence):
    cdef BalanceUpdate update = BalanceUpdate.__new__(BalanceUpdate)
    cdef int count = 0
    if row.seen >> BALANCE_WALLETS & 1:
        count = row.values[<int>BALANCE_WALLETS].size
        items += row.values[<int>BALANCE_WALLETS].num
    update.pack(row, &KINDS, items, count, WALLET_SLOTS, &WALLET_KINDS)
    update.snapshot = snapshot
    update.number = sequence
    return update


cdef class BalanceUpdate(Packed):
    """What one row of `balances` told: an asset's balance, or the ledger entry that changed it; immutable.

    Args:
        asset, balance: of the asset, after the entry.
        timestamp_ns: when, ns since epoch.
        snapshot, recovered: see Packed; built by hand, it is recovered unless said otherwise.
        sequence: of the message, if there was one.
        **fields: any member of the protocol by its name; numbers as Decimal or int.

    Raises:
        TypeError: a name or a type that the protocol does not know; a float is never right.
    """

    def __init__(
        self, *, asset, balance, timestamp_ns=None, bint snapshot=False, bint recovered=True, sequence=None, **fields,
    ):
        self.give(FIELDS, {"asset": asset, "balance": balance, "timestamp_ns": timestamp_ns, **fields})
        self.snapshot = snapshot
        self.recovered = recovered
        self.number = 0 if sequence is None else sequence

    @property
    def key(self):
        """What makes it the only one of its kind: ledger_id; None for a row of a snapshot."""
        return self.ledger_id

    @property
    def timestamp_ns(self):
        """When the exchange says it happened, ns since epoch; None in a snapshot."""
        return self.time_ns(BALANCE_TIMESTAMP)

    @property
    def wallets(self):
        """Wallets of the asset, a tuple of Wallet(type, id, balance); of a snapshot."""
        cdef list wallets = []
        cdef int i
        if self.values is NULL:
            return self.given.get(<int>BALANCE_WALLETS, ())
        for i in range(self.item_count):
            wallets.append(Wallet(
                value_text(self.item_value(i, WALLET_SLOTS, WALLET_TYPE)),
                value_text(self.item_value(i, WALLET_SLOTS, WALLET_ID)),
                value_number(self.item_value(i, WALLET_SLOTS, WALLET_BALANCE)),
            ))
        return tuple(wallets)

    @property
    def asset(self):
        """Id of the asset, as in channel instrument."""
        return self.text(BALANCE_ASSET)

    @property
    def asset_class(self):
        """currency or tokenized_asset."""
        return self.text(BALANCE_ASSET_CLASS)

    @property
    def balance(self):
        """What there is of the asset, in all wallets together."""
        return self.decimal(BALANCE_BALANCE)

    @property
    def amount(self):
        """What came or, negative, went; of an entry."""
        return self.decimal(BALANCE_AMOUNT)

    @property
    def fee(self):
        """What it cost, in this asset; of an entry."""
        return self.decimal(BALANCE_FEE)

    @property
    def ledger_id(self):
        """Id of the ledger entry; None in a snapshot."""
        return self.text(BALANCE_LEDGER_ID)

    @property
    def ref_id(self):
        """What the entry is about: a trade has one for both of its assets."""
        return self.text(BALANCE_REF_ID)

    @property
    def type(self):
        """deposit, withdrawal, trade, margin, staking, ..."""
        return self.text(BALANCE_TYPE)

    @property
    def subtype(self):
        """Of some transfers."""
        return self.text(BALANCE_SUBTYPE)

    @property
    def category(self):
        """Finer than type."""
        return self.text(BALANCE_CATEGORY)

    @property
    def wallet_type(self):
        """spot or earn; of an entry."""
        return self.text(BALANCE_WALLET_TYPE)

    @property
    def wallet_id(self):
        """main, flex, bonded, ...; of an entry."""
        return self.text(BALANCE_WALLET_ID)

    @property
    def user(self):
        """User of a master account."""
        return self.text(BALANCE_USER)

    def fields(self):
        """Give every member that is there, by its name; the time as `timestamp_ns`."""
        return self.taken(FIELDS)

    def __repr__(self):
        cdef str what = "" if self.ledger_id is None else f" {self.type} {self.amount}"
        return f"<BalanceUpdate {self.asset} {self.balance}{what}>"


def _as_wallets(name, value):
    return tuple([Wallet(kind, wallet_id, as_decimal(name, balance)) for kind, wallet_id, balance in value])


cdef Fields FIELDS = Fields()
FIELDS.learn(row_tables()[<int>CHANNEL_BALANCES], {"wallets": _as_wallets})


# ---------------------------------------------------------------------------------------------- the store

cdef class AssetBalance:
    """One asset: the last row that told its total, and its wallets as of some rows ago."""

    def __cinit__(self):
        self.wallets = {}
        self.pending = []

    cdef Status settle(self) except FAILED:
        """Bring the wallets up to the last row."""
        cdef BalanceUpdate update
        zero = Decimal(0)
        for update in self.pending:
            if update.seen >> BALANCE_WALLETS & 1:
                self.wallets = {(kind, wallet): balance for kind, wallet, balance in update.wallets}
            elif update.seen >> BALANCE_AMOUNT & 1:
                key = (update.wallet_type or "spot", update.wallet_id or "main")
                change = _EXACT.subtract(update.amount, update.fee or zero)
                self.wallets[key] = _EXACT.add(self.wallets.get(key, zero), change)
        self.pending = []
        return OK


cdef class BalanceStore(Sequenced):
    """The balances of one account, as one line heard of them.

    Args:
        line: the connection that fills it; None makes one of its own.

    Attributes:
        copies: ledger entries that had been taken in before, and were not told again.
        dropped: rows of assets beyond the bound.
    """

    def __init__(self, Line line=None):
        Sequenced.__init__(self, "balances", Line() if line is None else line)
        self._assets = {}
        self._entries = deque(maxlen=ENTRIES_MAX)

    @property
    def assets(self):
        """Every asset that was told, in the order in which they came."""
        return tuple(self._assets)

    def get(self, str asset not None):
        """The asset's total over all wallets as Decimal, None if it was never told."""
        cdef AssetBalance held = self._assets.get(asset)
        return None if held is None else held.last.balance

    def totals(self):
        """Give all totals, a dict of asset to Decimal."""
        return {asset: (<AssetBalance>held).last.balance for asset, held in self._assets.items()}

    def last_update(self, str asset not None):
        """The row that told the asset's total, a BalanceUpdate; None if it was never told."""
        cdef AssetBalance held = self._assets.get(asset)
        return None if held is None else held.last

    def wallets(self, str asset not None):
        """The asset's wallets, a tuple of Wallet(type, id, balance): as of the snapshot, moved by every entry since."""
        cdef AssetBalance held = self._assets.get(asset)
        if held is None:
            return ()
        held.settle()
        return tuple([Wallet(kind, wallet_id, balance) for (kind, wallet_id), balance in held.wallets.items()])

    @property
    def entries(self):
        """The last ledger entries, oldest first, a tuple of BalanceUpdate."""
        return tuple(self._entries)

    def apply(self, BalanceUpdate update not None):
        """Take in an entry that did not come from the stream. One older than what is held moves no total.

        Returns:
            Whether it was new.
        """
        cdef AssetBalance held = self._assets.get(update.asset)
        if self._is_copy(update):
            self.copies += 1
            return False
        if held is not None and (update.timestamp_ns or 0) < (held.last.timestamp_ns or 0):
            self._entries.append(update)
            return True
        return self.take(update, True) == OK

    cdef Status take(self, BalanceUpdate update, bint in_sequence) except FAILED:
        cdef AssetBalance held
        if not in_sequence and self._is_copy(update):
            self.copies += 1
            return IGNORED
        held = self._find(update)
        if held is None:
            self.dropped += 1
            return IGNORED
        held.last = update
        held.pending.append(update)
        if len(held.pending) > PENDING_MAX:
            held.settle()
        if update.seen >> BALANCE_LEDGER_ID & 1:
            self._entries.append(update)
        return OK

    cdef AssetBalance _find(self, BalanceUpdate update):
        cdef Py_ssize_t size
        cdef const char* text
        cdef str asset
        if self._last is not None and update.values is not NULL:
            text = PyUnicode_AsUTF8AndSize(self._last.asset, &size)
            if size == update.value(BALANCE_ASSET).size and memcmp(text, update.value(BALANCE_ASSET).text, size) == 0:
                return self._last
        asset = update.asset
        self._last = self._assets.get(asset)
        if self._last is None and len(self._assets) < ASSETS_MAX:
            self._last = self._assets[asset] = AssetBalance()
            self._last.asset = asset
        return self._last

    cdef bint _is_copy(self, BalanceUpdate update) except -1:
        cdef BalanceUpdate known
        key = update.key
        if key is None:
            return False
        for known in self._entries:
            if known.key == key:
                return True
        return False

    cdef Status begin_snapshot(self) except FAILED:
        self._assets = {}
        self._last = None
        return OK
