"""Each of the 52 security items has a test or a reason; here are the tests that belong to no other subject."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import survival

from kraken_fast.core.capture import CaptureReader, CaptureWriter
from kraken_fast.core.clock import ManualClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks
from kraken_fast.errors import printable
from kraken_fast.sim import Exchange

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
SOURCES = ROOT / "kraken_fast"
ITEMS: dict[str, dict[str, Any]] = tomllib.loads((TESTS / "security.toml").read_text())
MARKERS = {
    found for path in TESTS.rglob("*.py") for found in re.findall(r'mark\.fault\(\s*"(\w+)"', path.read_text())
}
PYTHON = sorted(SOURCES.rglob("*.py"))
NEEDED: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


@pytest.mark.parametrize("item", survival.SECURITY)
def test_every_item_is_held_by_a_test_or_a_reason(item: str) -> None:
    held = ITEMS[item]
    assert held.keys() <= {"faults", "tests", "reason"} and held
    assert set(held.get("faults", ())) <= MARKERS
    for name in held.get("tests", ()):
        file, _, test = name.partition("::")
        assert not test or f"def {test}(" in (TESTS / file).read_text(), name
        assert (TESTS / file).exists(), name
    assert len(held.get("reason", "x" * 40)) >= 40


@pytest.mark.fault("X07", kind="U")
def test_a_recording_holds_nothing_that_was_sent(tmp_path: Path) -> None:
    """Only received messages and notes go to the writer: no call of it takes what is sent."""
    callers = [path.name for path in PYTHON if re.search(r"capture\.write\(|tee\.write\(", path.read_text())]
    assert callers == []
    path = tmp_path / "capture"
    writer = CaptureWriter(path, ManualClock(monotonic_ns=1, epoch_ns=1))
    writer.note("opened", 2, epoch=1)
    writer.close()
    assert [kind for kind, _, _ in CaptureReader(path)] == ["event"] * 3


@pytest.mark.fault("X11", kind="U")
def test_no_address_but_the_exchanges_is_known() -> None:
    """Any URL in code, not in comments or docstrings, is Kraken's, loopback's or one that no network has."""
    foreign = []
    for path in PYTHON:
        code = re.sub(r'"""(?:[^"\\]|\\.|"(?!""))*"""', "", path.read_text())
        code = re.sub(r"(^|\s)#.*", "", code)
        for host in re.findall(r"(?:https?|wss?)://([\w.-]+)", code):
            if not re.fullmatch(r"(?:[\w-]+\.)*kraken\.com|127\.0\.0\.1|localhost|(?:[\w-]+\.)*(?:test|invalid)", host):
                foreign.append((path.name, host))
    assert foreign == []


@pytest.mark.fault("X12", kind="U")
def test_no_real_looking_secret_is_in_the_tree() -> None:
    """Kraken's secrets are 86 characters of base64 and two equal signs; the published vectors are the only ones."""
    known = (TESTS / "data" / "signing-vectors.json").read_text()
    pattern = re.compile(r"[A-Za-z0-9+/]{86}==")
    found = [
        (path.name, secret[:6])
        for top in (SOURCES, TESTS, ROOT / "benchmarks")
        for path in top.rglob("*")
        if path.suffix in (".py", ".pyx", ".toml", ".json", ".md")
        for secret in pattern.findall(path.read_text())
        if secret not in known
    ]
    assert found == []


@pytest.mark.fault("X21", kind="U")
def test_the_transport_is_the_pinned_one_without_the_endless_frame() -> None:
    assert [each for each in NEEDED if each.startswith("picows")] == ["picows==2.3.1"]
    assert distribution("picows").version == "2.3.1"


@pytest.mark.fault("X29", kind="U")
def test_another_interpreter_of_the_process_works_or_is_refused() -> None:
    code = """
import _xxsubinterpreters as interpreters
each = interpreters.create()
try:
    interpreters.run_string(each, "import kraken_fast.core.book as b; b.OrderBook('A/B', 10)")
    print("works")
except interpreters.RunFailedError as error:
    print("refused", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("works", "refused")), done.stdout


@pytest.mark.fault("X32", kind="U")
def test_nothing_from_the_server_is_evaluated() -> None:
    banned = re.compile(
        r"(?<![\w.])(eval|exec|compile)\(|\bimport (pickle|marshal|shelve|yaml)\b|\.format_map\(|os\.system\("
    )
    found = [
        (path.name, match[0])
        for path in [*PYTHON, *SOURCES.rglob("*.pyx")]
        for match in banned.finditer(re.sub(r"re\.compile\(", "", path.read_text()))
    ]
    assert found == []


@pytest.mark.fault("X33", kind="U")
def test_server_text_cannot_forge_output() -> None:
    hostile = "a\nERROR forged\r\x1b[31mred\x00\u202eback\u2066x\u2028line"
    shown = printable(hostile, 1000)
    assert not [char for char in shown if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0]
    assert not set(shown) & set("\u202e\u2066\u2028\u2029\u200f")


@pytest.mark.fault("X34", kind="U")
def test_symbols_that_a_server_invents_are_bounded() -> None:
    decoder = Decoder(create=True, create_depth=10)
    for number in range(10_500):
        decoder.feed(
            b'{"channel":"ticker","type":"update","data":[{"symbol":"S%d/USD","bid":1,"bid_qty":1,"ask":2,'
            b'"ask_qty":1,"last":1}]}' % number
        )
    assert len(decoder.kept_symbols()) == 10_000
    assert decoder.unwanted == 500


@pytest.mark.fault("X35", kind="U")
def test_a_symbol_of_the_server_is_never_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "deep" / "er" / "capture"
    path.parent.mkdir(parents=True)
    writer = CaptureWriter(path, ManualClock(monotonic_ns=1, epoch_ns=1))
    decoder = Decoder(create=True, create_depth=10)
    for symbol in ("../../x", "/etc/x", "..", "a\\u0000b"):
        decoder.feed(
            b'{"channel":"ticker","type":"snapshot","data":[{"symbol":"%s","bid":1,"bid_qty":1,"ask":2,"ask_qty":1,'
            b'"last":1}]}' % symbol.encode()
        )
        writer.note("gap", 2, symbol=symbol, first=1, last=2)
    writer.close()
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]
    # No file of ours is named by anything but the user, a key's hash, or a number.
    named = re.compile(r"(?<![\w.])open\([^)]*symbol|Path\([^)]*symbol")
    makers = [each.name for each in PYTHON if named.search(each.read_text())]
    assert makers == []


@pytest.mark.fault("X36", kind="U")
def test_words_that_nobody_knows_are_kept_as_text() -> None:
    told: list[Any] = []

    class Handler(Callbacks):
        def on_status(self, status: Any) -> None:
            told.append(status)

    handler = Handler()
    handler.trade = told.append
    decoder = Decoder(handler=handler, create=True)
    assert decoder.feed(b'{"channel":"status","type":"update","data":[{"system":"dreaming"}]}', strict=True)
    assert decoder.feed(
        b'{"channel":"trade","type":"update","data":[{"symbol":"A/B","side":"swap","price":1,"qty":1,"ord_type":"odd",'
        b'"trade_id":1,"timestamp":"2026-11-22T00:00:00Z"}]}', strict=True,
    )  # fmt: skip
    assert (told[0].system, told[1].side, told[1].ord_type) == ("dreaming", "swap", "odd")


@pytest.mark.fault("X38", kind="U")
async def test_the_exchange_in_a_box_listens_on_loopback_only() -> None:
    async with Exchange(["BTC/USD"], seed=1) as box:
        assert box.ws_url.startswith("ws://127.0.0.1:")
        assert box.rest_url.startswith("http://127.0.0.1:")
    assert not re.search(r'"0\.0\.0\.0"|INADDR_ANY', "".join(path.read_text() for path in PYTHON))


@pytest.mark.fault("X42", kind="U")
def test_no_predictable_temporary_file() -> None:
    found = [path.name for path in PYTHON if re.search(r"mktemp\(|[\"']/tmp|gettempdir", path.read_text())]
    assert found == []


@pytest.mark.fault("X43", kind="U")
def test_dependencies_are_few_and_each_says_what_it_is_for() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    block = project.partition("\ndependencies = [")[2].partition("]")[0]
    lines = [line for line in block.splitlines() if line.strip()]
    assert 0 < len(lines) <= 6
    assert all("  # " in line for line in lines), "a comment of what it is for"
    assert len(NEEDED) == len(lines)


@pytest.mark.fault("X49", kind="U")
def test_the_security_policy_says_what_it_must() -> None:
    text = (ROOT / "SECURITY.md").read_text().lower()
    for word in ("supported versions", "report", "days", "what we defend against", "do not defend"):
        assert word in text, word


PERMISSIVE = re.compile(r"MIT|BSD|Apache|PSF|Python Software Foundation|ISC|MPL", re.IGNORECASE)


@pytest.mark.fault("X50", kind="U")
def test_licences_of_dependencies_are_compatible() -> None:
    for name in (re.split(r"[^\w-]", each)[0] for each in NEEDED):
        facts = distribution(name).metadata
        classifiers = [each for each in facts.get_all("Classifier") or () if each.startswith("License")]
        told = " ".join([facts.get("License-Expression") or "", (facts.get("License") or "")[:60], *classifiers])
        files = [each for each in distribution(name).files or () if "licen" in each.name.lower()]
        texts = [Path(str(each.locate())).read_text()[:200] for each in files]
        assert PERMISSIVE.search(" ".join([told, *texts])), (name, told)
