"""The public surface: every name is there, and nothing is imported before it is used."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kraken_fast
import kraken_fast.sim

SLOW = ("aiohttp", "typer", "rich", "uvloop", "trustme", "sortedcontainers", "picows", "orjson", "asyncio")


def loaded_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and give the modules that it ends with."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", kraken_fast.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(kraken_fast, name) is not None


def test_the_names_are_sorted_unique_and_listed() -> None:
    assert list(kraken_fast.__all__) == sorted(set(kraken_fast.__all__))
    assert set(kraken_fast.__all__) <= set(dir(kraken_fast))


def test_type_checkers_see_the_same_names() -> None:
    text = Path(kraken_fast.__file__).read_text()
    declared = set(re.findall(r"^    from \.\S* import \w+ as (\w+)$", text, re.MULTILINE))
    assert declared == set(kraken_fast.__all__) - {"__version__"}


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kraken_fast.nothing


@pytest.mark.parametrize("name", kraken_fast.sim.__all__)
def test_every_name_of_the_box_can_be_had(name: str) -> None:
    assert getattr(kraken_fast.sim, name) is not None


def test_errors_have_one_root() -> None:
    errors = importlib.import_module("kraken_fast.errors")
    for name in kraken_fast.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(errors, name), kraken_fast.KrakenFastError), name


def test_importing_the_package_costs_nothing() -> None:
    loaded = loaded_after("import kraken_fast")
    assert [name for name in SLOW if name in loaded] == []
    assert [name for name in loaded if name.startswith("kraken_fast.")] == []


def test_a_bot_pays_only_for_what_it_uses() -> None:
    loaded = loaded_after("import kraken_fast; kraken_fast.connect; kraken_fast.Decoder")
    assert "kraken_fast.feed" in loaded
    unused = ("aiohttp", "typer", "rich", "uvloop", "trustme", "kraken_fast.sim")
    assert [name for name in unused if name in loaded] == []


def test_the_core_needs_no_event_loop() -> None:
    loaded = loaded_after("from kraken_fast import Decoder, OrderBook; Decoder(create=True).feed(b'{}')")
    assert [name for name in ("asyncio", "picows", "aiohttp") if name in loaded] == []
