"""Lines of figures that long runs leave behind; benchmarks/reliability.py makes its table of them."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def append(path: Path, what: str, **figures: Any) -> None:
    """Add one line: what ran, when, on how many processors, and what came of it."""
    line = {
        "what": what,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **figures,
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Give all lines, oldest first; none if there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
