"""The maker, as its users run it, against the exchange in a box."""

from __future__ import annotations

from pathlib import Path

from kraken_fast import Credentials, MemoryNonces
from kraken_fast.config import Endpoints
from kraken_fast.examples.maker import make
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.sim import Exchange


async def test_it_quotes_below_the_bid_follows_it_and_leaves_nothing(tmp_path: Path) -> None:
    async with Exchange(["BTC/USD"], seed=3, rate=40) as box:
        rest = RestClient(
            Credentials(box.api_key, box.api_secret), endpoints=Endpoints(rest_url=box.rest_url), nonces=MemoryNonces()
        )
        made = await make(
            "BTC/USD", journal=tmp_path / "maker.journal", seconds=2.0, rest=rest, ws_url=box.ws_auth_url,
            public_ws_url=box.ws_url, rest_url=box.rest_url,
        )  # fmt: skip
        await rest.close()
        assert made.orders and made.amends >= 2
        placed = list(box.account.orders.values())
        assert [order.order_id for order in placed] == [order.order_id for order in made.orders]
        assert not any(order.live for order in placed)
