"""From the bytes of a message to a changed, verified store, without a network and without a callback."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kraken_fast import Decoder

from .corpus import Corpus, market_messages

UPDATES = 2_000


def feed_again(corpus: Corpus, depth: int) -> tuple[Decoder, Callable[[], int]]:
    """Give a decoder and a call that feeds it the corpus once more, snapshots first."""
    decoder = Decoder(create=True, create_depth=depth)
    everything = corpus.snapshots + corpus.updates

    def feed() -> int:
        return decoder.feed_all(everything)

    return decoder, feed


@pytest.mark.parametrize("depth", [10, 100, 1000])
def bench_book(benchmark: BenchmarkFixture, depth: int) -> None:
    corpus = market_messages("book", updates=UPDATES, depth=depth)
    decoder, feed = feed_again(corpus, depth)
    benchmark.extra_info.update(messages=UPDATES + 1, bytes_mean=round(corpus.bytes_mean))
    assert benchmark(feed) == UPDATES + 1
    book = decoder.book("BTC/USD")
    assert book is not None
    assert book.mismatched == 0
    assert book.verified == decoder.messages


@pytest.mark.parametrize("channel", ["ticker", "trade", "ohlc"])
def bench_other_channels(benchmark: BenchmarkFixture, channel: str) -> None:
    corpus = market_messages(channel, updates=UPDATES)
    decoder, feed = feed_again(corpus, 0)
    messages = len(corpus.snapshots) + UPDATES
    benchmark.extra_info.update(messages=messages, bytes_mean=round(corpus.bytes_mean))
    assert benchmark(feed) == messages
    assert decoder.malformed == 0
