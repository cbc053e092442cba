# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Balances as the exchange tells them: totals and wallets of each asset, and the ledger entries that moved them.

A snapshot tells every asset with its wallets and replaces what was held. Each later message is one ledger entry: it
tells the asset's new total, and moved one wallet by amount less fee. Totals are taken as told; wallets are computed,
exactly, when somebody asks. Nothing here knows what open orders bind: the channel carries no holds.
Source: websocket-v2 channel balances.
Bench: benchmarks/bench_account.py.
"""

from decimal import Context, Decimal, Inexact, InvalidOperation

from ..types import Wallet
from .packed import as_decimal

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from .defs cimport CHANNEL_BALANCES, FAILED, IGNORED, OK, Status
from .fixed cimport SCALE_MAX, fixed_decimal
from .line cimport Line
from .packed cimport Fields, Packed, Ring, value_number, value_text
from .sequenced cimport Sequenced
from .tables cimport (
    BALANCE_AMOUNT, BALANCE_ASSET, BALANCE_ASSET_CLASS, BALANCE_BALANCE, BALANCE_CATEGORY, BALANCE_FEE,
    BALANCE_LEDGER_ID, BALANCE_REF_ID, BALANCE_SUBTYPE, BALANCE_TIMESTAMP, BALANCE_TYPE, BALANCE_USER,
    BALANCE_WALLETS, BALANCE_WALLET_ID, BALANCE_WALLET_TYPE, WALLET_BALANCE, WALLET_ID, WALLET_TYPE, Item, Record,
    Value, row_tables,
)


cdef enum:
    WALLET_SLOTS = 3
    ASSETS_MAX = 10_000          # the exchange lists about 600
    ENTRIES_MAX = 1_000          # ledger entries kept

cdef int64_t SMALL = INT64_MAX // 4      # numbers up to it add up within an int64

_EXACT = Context(prec=1_000, traps=[Inexact, InvalidOperation])     # sums never round


cdef BalanceUpdate new_balance_update(Record* row, const Item* items, bint snapshot, uint64_t sequence):
    cdef BalanceUpdate update = BalanceUpdate.__new__(BalanceUpdate)
    cdef int count = 0
    if row.seen >> BALANCE_WALLETS & 1:
        count = row.values[<int>BALANCE_WALLETS].size
        row.values[<int>BALANCE_WALLETS].size = 0        # a list has no text
        items += row.values[<int>BALANCE_WALLETS].num
    update.pack(row, items, count, WALLET_SLOTS)
    update.snapshot = snapshot
    update.number = sequence
    return update


@cython.no_gc
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
        """What there is of the asset, in all wallets together; None if REST told the entry and not this."""
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
    """One asset: the last row that told its total, its wallets as of some rows ago, and the sum of the rows since."""

    def __cinit__(self):
        self.wallets = {}

    cdef Status take(self, BalanceUpdate update) except FAILED:
        """Count a row in. Entries of one wallet, as nearly all are, only add up integers."""
        self.last = update
        if update.seen >> BALANCE_WALLETS & 1:
            self.run = None
            self.wallets = None              # those of `listed`, once somebody asks
            self.listed = update
        elif update.seen >> BALANCE_AMOUNT & 1 and not self._add(update):
            self.settle()
            self.run = update
            self.total = 0
            self.digits = -1
            if not self._add(update):        # beyond an int64
                self._move(update, _EXACT.subtract(update.amount, update.fee or Decimal(0)))
                self.run = None
        return OK

    cdef bint _add(self, BalanceUpdate update) noexcept:
        """Add an entry to the run, if it is of its wallet, has its decimals, and fits."""
        cdef const Value* amount = update.value(BALANCE_AMOUNT)
        cdef const Value* fee = update.value(BALANCE_FEE)
        if self.run is None or amount is NULL or not (
                _same_text(self.run.value(BALANCE_WALLET_ID), update.value(BALANCE_WALLET_ID))
                and _same_text(self.run.value(BALANCE_WALLET_TYPE), update.value(BALANCE_WALLET_TYPE))):
            return False
        if self.digits < 0:
            self.digits = amount.digits
        if not _is_small(amount, self.digits) or (fee is not NULL and not _is_small(fee, self.digits)):
            return False
        if not -SMALL <= self.total <= SMALL:
            return False
        self.total += amount.num - (fee.num if fee is not NULL else 0)
        return True

    cdef Status _move(self, BalanceUpdate of, object change) except FAILED:
        key = (of.wallet_type or "spot", of.wallet_id or "main")
        self.wallets[key] = _EXACT.add(self.wallets.get(key, Decimal(0)), change)
        return OK

    cdef Status settle(self) except FAILED:
        """Bring the wallets up to the last row."""
        if self.wallets is None:
            self.wallets = {(kind, wallet): balance for kind, wallet, balance in self.listed.wallets}
        if self.run is not None and self.digits >= 0:
            self._move(self.run, fixed_decimal(self.total, self.digits))
        self.run = None
        return OK


cdef bint _same_text(const Value* a, const Value* b) noexcept:
    if a is NULL or b is NULL:
        return a is b
    return a.size == b.size and memcmp(a.text, b.text, a.size) == 0


cdef bint _is_small(const Value* value, int digits) noexcept:
    """Whether a number has these decimals and is far from the ends of an int64."""
    return value.digits == digits and digits <= SCALE_MAX and not value.form and -SMALL <= value.num <= SMALL


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
        self.begin_snapshot()
        self._entries = Ring(<int>ENTRIES_MAX)

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
        return tuple(self._entries.records())

    def apply(self, BalanceUpdate update not None):
        """Take in an entry that did not come from the stream. It moves no total if it is old, or tells no balance.

        Returns:
            Whether it was new.
        """
        cdef AssetBalance held = self._assets.get(update.asset)
        if self._is_copy(update):
            self.copies += 1
            return False
        if update.balance is None or held is not None and (update.timestamp_ns or 0) < (held.last.timestamp_ns or 0):
            self._entries.add(update)
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
        held.take(update)
        if update.seen >> BALANCE_LEDGER_ID & 1:
            self._entries.add(update)
        return OK

    cdef AssetBalance _find(self, BalanceUpdate update):
        """The asset of a row, a new one if there is room. Names of up to eight bytes are compared as one integer.

        Not those that end in a NUL, which the integer does not tell from the same without it.
        """
        cdef const Value* name = update.value(BALANCE_ASSET)
        cdef AssetBalance held
        cdef uint64_t head = 0
        cdef int place = 0
        cdef str asset
        if name is not NULL and 0 < name.size <= 8 and name.text[name.size - 1]:
            memcpy(&head, name.text, name.size)
            place = <int>(head * <uint64_t>0x9E3779B97F4A7C15 >> 60)       # below ASSETS_NEAR
            if self._near[place] is not NULL and (<AssetBalance>self._near[place]).head == head:
                return <AssetBalance>self._near[place]
        asset = update.asset
        held = self._assets.get(asset)
        if held is None and len(self._assets) < ASSETS_MAX:
            held = self._assets[asset] = AssetBalance()
        if held is not None and head:
            held.head = head
            self._near[place] = <PyObject*>held          # borrowed: it is in `_assets` until `begin_snapshot`
        return held

    cdef bint _is_copy(self, BalanceUpdate update) except -1:
        cdef BalanceUpdate known
        key = update.key
        if key is None:
            return False
        for known in self._entries.records():
            if known.key == key:
                return True
        return False

    cdef Status begin_snapshot(self) except FAILED:
        memset(self._near, 0, sizeof(self._near))
        self._assets = {}
        return OK
