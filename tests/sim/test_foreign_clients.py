"""Other people's clients trade on the box, unchanged but for address and key.

They are not among the dependencies: name an interpreter that has them, as .ci/run does; else these tests are skipped.

    python -m venv /path && /path/bin/pip install -r tests/sim/foreign/requirements.txt
    KRAKEN_FAST_FOREIGN_PYTHON=/path/bin/python pytest tests/sim/test_foreign_clients.py
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim import Exchange

NAMED = os.environ.get("KRAKEN_FAST_FOREIGN_PYTHON")
PYTHON = NAMED or sys.executable
SCRIPTS = Path(__file__).parent / "foreign"


@functools.cache
def installed(module: str) -> bool:
    found = subprocess.run([PYTHON, "-c", f"import {module}"], check=False, capture_output=True)
    return found.returncode == 0


async def trade(script: str, module: str, *args: str, tls: bool) -> tuple[Exchange, dict[str, Any]]:
    """Let a client trade on an exchange and give both; the exchange is closed by then."""
    if not installed(module):
        assert not NAMED, f"KRAKEN_FAST_FOREIGN_PYTHON has no {module}"
        pytest.skip(f"no {module} in {PYTHON}")
    # Without counters of calls: a script makes its calls as fast as it can.
    async with Exchange(["BTC/USD", "ETH/USD"], seed=7, rate=20, tls=tls, limit_calls=False) as ex:
        trusted = {"SSL_CERT_FILE": ex.ca_file or "", "REQUESTS_CA_BUNDLE": ex.ca_file or ""} if tls else {}
        process = await asyncio.create_subprocess_exec(
            PYTHON,
            str(SCRIPTS / script),
            *args,
            json.dumps(ex.addresses()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **trusted},
        )
        async with asyncio.timeout(120):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()[-3000:]
        ex.core.desk._check()
        return ex, json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_python_kraken_sdk(tls: bool) -> None:
    ex, seen = await trade("python_kraken_sdk.py", "kraken.spot", tls=tls)
    answers = seen["answers"]
    assert [name for name, answer in answers.items() if not answer["success"]] == ["refused"]
    assert answers["refused"]["error"] == "EGeneral:Invalid arguments:volume minimum not met"
    assert answers["all"]["result"] == {"count": 2}
    assert not seen["failed"]
    told: dict[str, list[str]] = {}
    for row in seen["executions"]:
        told.setdefault(row["order_id"], []).append(row["exec_type"])
    truth: dict[str, list[str]] = {}
    for event in ex.account.events:
        truth.setdefault(event.order.order_id, []).append(event.exec_type)
    assert {order_id: steps for order_id, steps in told.items() if order_id in truth} == {
        order_id: steps[: len(told[order_id])] for order_id, steps in truth.items()
    }
    traded = [row for row in seen["balances"] if row.get("type") == "trade"]
    assert len(traded) == 2 * len(ex.account.executions)
    assert Decimal(str(traded[-1]["balance"])) == ex.account.balances[traded[-1]["asset"]]
    assert seen["book"]["data"][0]["bids"]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_ccxt_pro(tls: bool) -> None:
    ex, seen = await trade("ccxt_pro.py", "ccxt.pro", tls=tls)
    assert seen["balance"] == {"BTC": 10.0, "ETH": 100.0, "USD": 100_000.0}
    edited = ex.account.orders[seen["limit"]["id"]]
    assert (edited.status, edited.qty, edited.limit_price) == ("canceled", Decimal("0.02"), 101)
    assert seen["all"]["result"] == {"count": 0}
    assert seen["refused"] == "ExchangeError: EOrder:Insufficient funds"
    assert {trade["id"] for trade in seen["trades"]} == set(ex.account.executions)
    statuses = {order["id"]: order["status"] for order in seen["orders"]}
    assert statuses[seen["limit"]["id"]] == "canceled"
    assert statuses[seen["market"]["id"]] == "closed"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("client", "module", "calls", "refused"),
    [
        ("krakenex", "krakenex", 47, {"AddOrder beyond the funds": "EOrder:Insufficient funds"}),
        ("sdk", "kraken.spot", 36, {"insufficient": "Client does not have the necessary funds"}),
        (
            "ccxt",
            "ccxt",
            38,
            {"insufficient": "EOrder:Insufficient funds", "fetch unknown": "EOrder:Unknown order"},
        ),
    ],
    ids=["krakenex", "python-kraken-sdk", "ccxt"],
)
async def test_rest(client: str, module: str, calls: int, refused: dict[str, str], tls: bool) -> None:
    _, came = await trade("rest_clients.py", module, client, tls=tls)
    assert len(came) == calls
    failed = {name: text for name, text in came.items() if text != "ok"}
    assert failed.keys() == refused.keys(), failed
    assert all(text in failed[name] for name, text in refused.items()), failed
