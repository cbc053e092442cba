"""What README.md promises at first sight runs as it stands. Its second block is what runs these tests."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_two_blocks_install_and_run() -> None:
    (first, demo), (second, tests) = BLOCKS[:2]
    assert (first, second) == ("bash", "bash")
    assert demo.splitlines()[-1].endswith("kraken-fast demo")
    assert tests.splitlines()[-1].endswith("/pytest -n auto --dist worksteal")  # all of them
    for block in (demo, tests):
        assert "-e" not in block.split(), "an editable install would test the uncompiled tree"
        assert block.startswith("python3.11 -m venv ")


def test_the_twelve_lines_run() -> None:
    code = next(text for kind, text in BLOCKS if kind == "python")
    assert len(code.splitlines()) == 12
    child = subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )
    try:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(3)]
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=10)
    finally:
        child.kill()
    assert all(re.fullmatch(r"BTC/USD live \d+\.\d \d+\.\d\n", line) for line in lines), lines


def test_the_files_that_it_names_exist() -> None:
    for name in re.findall(r"`((?:core|sim|kraken_fast|benchmarks)/[\w/]+\.\w+|\w+\.py)`", README):
        assert [path for path in (ROOT / name, ROOT / "kraken_fast" / name) if path.exists()], name
