"""What the package costs before it does anything: time to import it, and the size of its compiled modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import kraken_fast.core

from .effort import Effort

PICOWS = "import asyncio, ssl, picows"
OURS = "import asyncio, ssl, picows, kraken_fast; kraken_fast.connect"
_TIMED = "import time; began = time.process_time(); {}; print((time.process_time() - began) * 1000)"


def import_ms(statement: str, bytecode: str) -> float:
    """Give the CPU time of an import in a fresh process, which finds its bytecode in a folder or leaves it there.

    An installed package has its bytecode beside it; a checkout need not, nor a shell that forbids to write any.
    """
    command = [sys.executable, "-P", "-c", _TIMED.format(statement)]
    # The same package as ours, installed or built in place; -P keeps an uncompiled tree beside us out of sight.
    environment = {**os.environ, "PYTHONPATH": str(Path(kraken_fast.__file__).parent.parent)}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def compiled_mb() -> float:
    """Give the size of all compiled modules together, stripped where there is a `strip`."""
    modules = list(Path(kraken_fast.core.__path__[0]).glob("*.so"))
    strip = shutil.which("strip")
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        for module in modules:
            copy = Path(shutil.copy(module, folder))
            if strip:
                subprocess.run([strip, str(copy)], check=True)
            total += copy.stat().st_size
    return total / 1e6


def figures(effort: Effort) -> dict[str, float]:
    """Measure both imports in turns."""
    with tempfile.TemporaryDirectory() as folder:
        import_ms(OURS, folder)  # leaves the bytecode
        pairs = [(import_ms(OURS, folder), import_ms(PICOWS, folder)) for _ in range(effort.rounds)]
    return {
        "beyond_picows_ms": median(ours - picows for ours, picows in pairs),
        "picows_ms": median(picows for _, picows in pairs),
        "compiled_mb": compiled_mb(),
    }


def test_import(benchmark: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        benchmark.extra_info["ms"] = benchmark.pedantic(import_ms, args=(OURS, folder), rounds=3, warmup_rounds=1)


def test_compiled_size(benchmark: Any) -> None:
    assert benchmark.pedantic(compiled_mb, rounds=1) > 0.1
