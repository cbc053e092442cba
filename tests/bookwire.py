"""A pair of books kept in step: ours, fed with bytes through a decoder, and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from judge import Witness, same

from kraken_fast.core.decode import Decoder
from kraken_fast.sim.reference import ReferenceBook, loads

Row = tuple[int, int]


def decimal_text(mantissa: int, scale: int) -> str:
    """Plain decimal text with exactly `scale` decimals.

    >>> decimal_text(5, 3)
    '0.005'
    """
    return format(Decimal(mantissa).scaleb(-scale), "f")


def book_message(
    kind: str,
    bids: Sequence[Row],
    asks: Sequence[Row],
    scales: tuple[int, int],
    checksum: int,
    symbol: str = "A/B",
) -> bytes:
    """A `book` message as the exchange writes it."""
    price_scale, qty_scale = scales
    sides = [
        ",".join(
            f'{{"price":{decimal_text(price, price_scale)},"qty":{decimal_text(qty, qty_scale)}}}'
            for price, qty in rows
        )
        for rows in (bids, asks)
    ]
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],'
        f'"checksum":{checksum},"timestamp":"2026-11-22T10:15:01.402117Z"}}]}}'
    ).encode()


class Twins:
    """Our book and the reference, fed with the same bytes and compared after each."""

    def __init__(
        self, depth: int, scales: tuple[int, int], *, portable: bool = False, told: bool = True
    ) -> None:
        self.scales = scales
        self.witness = Witness()
        self.decoder = Decoder(handler=self.witness, portable=portable)
        if told:
            self.tell_scales(scales)
        self.book = self.decoder.want_book("A/B", depth)
        self.reference = ReferenceBook(depth)

    def tell_scales(self, scales: tuple[int, int]) -> None:
        pair = (
            f'{{"symbol":"A/B","base":"A","quote":"B","status":"online","price_precision":{scales[0]},'
            f'"qty_precision":{scales[1]}}}'
        )
        raw = f'{{"channel":"instrument","type":"update","data":{{"assets":[],"pairs":[{pair}]}}}}'
        assert self.decoder.feed(raw.encode(), strict=True)

    def send(self, kind: str, bids: Sequence[Row] = (), asks: Sequence[Row] = ()) -> None:
        """Feed one message with the right checksum and compare all there is."""
        self.reference.apply(loads(book_message(kind, bids, asks, self.scales, 0)))
        raw = book_message(kind, bids, asks, self.scales, self.reference.checksum())
        assert self.decoder.feed(raw, strict=True)
        self.compare()

    def compare(self) -> None:
        book, reference = self.book, self.reference
        book._check()
        assert book.is_valid, (book.state, self.witness.lost)
        assert book.checksum == reference.checksum()
        bids, asks = reference.bids, reference.asks
        assert same(book.bids, bids)
        assert same(book.asks, asks)
        assert book.crossed == reference.crossed()
        assert book.verified_depth == book.depth
        assert same(book.best_bid, bids[0][0] if bids else None)
        assert same(book.best_ask, asks[0][0] if asks else None)
        assert same(book.best_bid_qty, bids[0][1] if bids else None)
        assert same(book.best_ask_qty, asks[0][1] if asks else None)
        if bids and asks:
            scale = self.scales[0]
            ask_raw, bid_raw = book.best_ask_raw, book.best_bid_raw
            assert ask_raw is not None
            assert bid_raw is not None
            assert same(book.spread, Decimal(f"{ask_raw - bid_raw}E-{scale}"))
            assert same(book.mid, Decimal(f"{(ask_raw + bid_raw) * 5}E-{scale + 1}"))
        else:
            assert book.spread is None
            assert book.mid is None
            assert book.mid_float is None


class Line3:
    """Three books at depth 25, all valid."""

    def __init__(self) -> None:
        self.witness = Witness()
        self.decoder = Decoder(handler=self.witness)
        self.books = [self.decoder.want_book(symbol, 25) for symbol in ("A/B", "C/D", "E/F")]
        for book in self.books:
            assert self.decoder.feed(book_message("snapshot", [], [], (0, 0), 0, book.symbol), strict=True)

    def trust(self) -> list[int]:
        return [book.verified_depth for book in self.books]
