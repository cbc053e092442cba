"""Benchmarks, rivals, gates and the profiling harness of kraken_fast. What is measured how: README.md.

Run from a checkout, `python -m benchmarks.gates` for instance: what is measured is the package as it is installed, or
this checkout's own if it was built in place; never the uncompiled tree beside us, which Python would find first.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if not list((ROOT / "kraken_fast" / "core").glob("decode.*.so")):
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
