"""Trades, tickers and candles: from bytes to their stores, and what reading them costs."""

from __future__ import annotations

from typing import Any

import pytest

from kraken_fast.core.decode import Decoder

from . import corpus, rivals
from .effort import Effort
from .timing import race, ratio

CHANNELS = ("trade", "ticker", "ohlc")


def figures(effort: Effort) -> dict[str, float]:
    """Measure each channel against `orjson.loads` of the same bytes."""
    found: dict[str, float] = {}
    for channel in CHANNELS:
        frames = corpus.of_channel(channel)
        timings = race(
            {"ours": rivals.ours(frames), "orjson": rivals.orjson_alone(frames)},
            rounds=effort.rounds,
            round_ms=effort.round_ms,
        )
        found[f"{channel}_ns"] = timings["ours"].median_ns
        found[f"{channel}_vs_orjson"] = ratio(timings, "orjson", "ours")
    return found


@pytest.mark.parametrize("symbols", [1, 1000])
@pytest.mark.parametrize("channel", CHANNELS)
def test_decode_and_store(benchmark: Any, channel: str, symbols: int) -> None:
    frames = corpus.of_channel(channel, symbols)
    benchmark.extra_info["mean_bytes"] = frames.mean_bytes
    benchmark(rivals.ours(frames).run)


def test_ticker_snapshot(benchmark: Any) -> None:
    decoder = Decoder(create=True)
    decoder.feed_all(corpus.tickers().frames)
    ticker = decoder.ticker("BTC/USD")
    assert ticker is not None
    assert benchmark(ticker.snapshot).symbol == "BTC/USD"


def test_recent_trades(benchmark: Any) -> None:
    decoder = Decoder(create=True)
    decoder.feed_all(corpus.trades().frames)
    log = decoder.trades("BTC/USD")
    assert log is not None
    assert len(benchmark(log.recent)) == 50
