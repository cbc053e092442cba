"""Real processes, killed with SIGKILL while they trade over real sockets: nothing twice, nothing forgotten.

    KRAKEN_FAST_KILLS=200 pytest tests/orders/test_killed.py        # the full figure; 5 otherwise
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from report import note

from kraken_fast.orders.records import OrderState
from kraken_fast.sim import Exchange
from kraken_fast.sim.account import NewAccount

KILLS = int(os.environ.get("KRAKEN_FAST_KILLS", "5"))
PLACES = ("before journal", "after journal", "before send", "after send", "timer")
ABSENT = ("REJECTED", "NOT_PLACED", "NOT_SENT")
VICTIM = Path(__file__).parent.parent / "order_victim.py"


def ended(journal: Path) -> dict[str, str]:
    """Give the orders whose end is on record, and which it was."""
    records = [json.loads(line.partition(" ")[2]) for line in journal.read_text().splitlines()]
    names = {state.text: state.name for state in OrderState}
    return {each["n"]: names[each["s"]] for each in records if each["k"] == "end"}


@pytest.mark.fault("O26", kind="L")
async def test_kill_9_while_trading(tmp_path: Path) -> None:
    rng = Random(11)
    places = [PLACES[number % len(PLACES)] for number in range(KILLS)]
    accounts = [NewAccount("main", {"USD": 100_000_000, "BTC": 1000}, tier="pro")]
    async with Exchange(["BTC/USD"], seed=3, rate=0, accounts=accounts, limit_calls=False, limit_orders=False) as ex:
        key = tmp_path / "key.toml"
        key.write_text(f'api_key = "{ex.api_key}"\napi_secret = "{ex.api_secret}"\n')
        key.chmod(0o600)
        victim = await asyncio.create_subprocess_exec(
            sys.executable, str(VICTIM), ex.ws_auth_url, ex.ws_url, ex.rest_url, str(key), str(tmp_path), "1",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert victim.stdin is not None and victim.stdout is not None
        for place in [*places, "end"]:
            line = str(rng.randint(1, 60)) if place == "timer" else place
            victim.stdin.write(f"{line}\n".encode())
            await victim.stdin.drain()
            try:
                async with asyncio.timeout(30):
                    code = await victim.stdout.readline()
            except TimeoutError:
                os.killpg(victim.pid, signal.SIGKILL)
                raise
            assert code.strip() == (b"0" if place == "end" else b"-9"), place
        victim.stdin.close()
        await victim.wait()
        truth: dict[str, int] = Counter(order.cl_ord_id for order in ex.account.orders.values())

    log = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    asked = {name for what, name, *_ in log if what == "asked"}
    verdicts = ended(tmp_path / "orders.journal")  # a child may die after it knew, before it could say so
    verdicts |= {name: rest[0] for what, name, *rest in log if what in ("known", "restored")}
    duplicates = [name for name, count in truth.items() if count > 1]
    orphans = [name for name in truth if name not in verdicts]
    false = [name for name, state in verdicts.items() if state in ABSENT and name in truth]
    open_ends = [name for name, state in verdicts.items() if state in ("SENT", "UNKNOWN", "JOURNALLED")]
    invented = [name for name, state in verdicts.items() if state not in ABSENT and name not in truth]
    assert (duplicates, orphans, false, open_ends, invented) == ([], [], [], [], [])
    assert set(truth) <= asked and len(truth) > KILLS / 2
    restored = sum(what == "restored" for what, *_ in log)
    note(
        "kill -9 while trading",
        f"{KILLS} kills, {len(asked)} orders asked for, {len(truth)} placed, {restored} taken up by a next run; "
        "duplicates 0, orphans 0, falsely rejected 0",
    )
