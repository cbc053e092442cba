"""Paper mode: real order entry against live market data, with fills simulated by the exchange in a box.

The one place besides the command line that imports `sim`. `connect_paper` is the door; the rules of what fills what are
in `market.py`, the exchange around them in `exchange.py`, the way there in `wire.py`, recordings in `backtest.py`.
"""
