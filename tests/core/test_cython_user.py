"""A user's own compiled handler: built here against the public .pxd files, called without crossing into Python."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import corpus
import pytest

from kraken_fast.core.decode import Decoder

SOURCE = '''
# cython: language_level=3
from libc.stdint cimport int64_t

from kraken_fast.core.book cimport OrderBook
from kraken_fast.core.defs cimport FAILED, OK, Status
from kraken_fast.core.handler cimport Handler
from kraken_fast.core.market cimport LiveTicker, TradeData, TradeLog


cdef class Signal(Handler):
    """Sums what it is told, in C."""
    cdef public int64_t best_bid_raw
    cdef public int books
    cdef public int tickers
    cdef public int64_t traded_raw
    cdef public int fail_at

    cdef Status on_book(self, OrderBook book) except FAILED:
        self.books += 1
        self.best_bid_raw = book.best_bid_key()
        if self.books == self.fail_at:
            raise ArithmeticError("no signal")
        return OK

    cdef Status on_ticker(self, LiveTicker ticker) except FAILED:
        self.tickers += 1
        return OK

    cdef Status on_trade(self, TradeLog log, const TradeData* trade) except FAILED:
        self.traded_raw += trade.qty
        return OK

    def on_book_lost(self, book, reason):
        self.books = -1
'''
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup
extension = Extension("user_signal", ["user_signal.pyx"], extra_compile_args=["-O0"])
setup(name="user_signal", ext_modules=cythonize([extension]))
"""


@pytest.fixture(scope="module")
def user_signal(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("user")
    (folder / "user_signal.pyx").write_text(SOURCE)
    (folder / "setup.py").write_text(SETUP)
    build = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert build.returncode == 0, build.stdout + build.stderr
    (module,) = folder.glob("user_signal.*.so")
    spec = importlib.util.spec_from_file_location("user_signal", module)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_a_compiled_handler_is_called_from_compiled_code(user_signal: Any) -> None:
    signal = user_signal.Signal()
    assert not hasattr(signal, "on_book"), "there is no Python method that could have been called instead"
    decoder = Decoder(handler=signal, create=True)
    catalogue = corpus.catalogue()
    for name in ("book.snapshot", "book.update.move", "ticker.snapshot", "trade.snapshot"):
        assert decoder.feed(catalogue[name], strict=True)
    assert (signal.books, signal.tickers, signal.best_bid_raw) == (2, 1, 842104)
    assert signal.traded_raw == 5_000 + 25_000_000
    decoder.feed(catalogue["book.update.qty"].replace(b'"checksum":3', b'"checksum":2'))
    assert signal.books == -1, "its plain methods are called as well"


def test_an_exception_of_a_compiled_handler_reaches_who_feeds(user_signal: Any) -> None:
    signal = user_signal.Signal()
    signal.fail_at = 1
    decoder = Decoder(handler=signal, create=True)
    catalogue = corpus.catalogue()
    with pytest.raises(ArithmeticError, match="no signal"):
        decoder.feed(catalogue["book.snapshot"])
    book = decoder.book("BTC/USD")
    assert book is not None
    assert book.is_valid, "what was decoded is in the stores all the same"
    assert decoder.feed(catalogue["book.update.move"], strict=True)
    assert signal.books == 2
