"""The command line, `kraken-fast` and `python -m kraken_fast`. It needs the extra `cli` and says so.

| verb                                          | file        |
|-----------------------------------------------|-------------|
| `demo`                                        | `demo.py`   |
| `watch`                                       | `watch.py`  |
| `top`                                         | `top.py`    |
| `sim`                                         | `sim.py`    |
| `record`                                      | `record.py` |
| `replay`                                      | `replay.py` |
| `check`                                       | `check.py`  |
| `ticker`, `ohlc`, `balance`, `orders`, `rest` | `rest.py`   |
| `trades`                                      | `trades.py` |
| `order add`, `amend`, `cancel`, `watch` ...   | `order.py`  |
| `doctor`                                      | `doctor.py` |
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line. Returns the exit status."""
    try:
        from .app import run

        return run()
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "rich"):
            raise
        print(f"kraken-fast needs {missing.name}: pip install 'kraken_fast[cli]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # importing takes most of a second, and people press keys
        return 130
