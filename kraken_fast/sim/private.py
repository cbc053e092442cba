"""The private REST endpoints that tell an account what it has and what it did."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .account import Books
from .entry import Trading
from .exports import Exports
from .fees import SCHEDULE, fee_tier, next_tier
from .gate import Call, Gate
from .instruments import Asset, Pair, asset_altname, asset_id
from .params import invalid
from .queries import Queries
from .refusals import RestError
from .rows import long_price
from .texts import NS_PER_S, padded
from .tokens import Tokens

if TYPE_CHECKING:
    from .core import ExchangeCore

LEVEL3_DEPTHS = (0, 10, 25, 100, 250, 1000)

MONEY_MOVERS = ("Withdraw", "WithdrawCancel", "WalletTransfer", "AccountTransfer")
"""Known so that a client's guard can be tried; a key without the permission is refused before."""

ZERO = Decimal(0)
Handler = Callable[[Call], Any]


class PrivateApi:
    """The private endpoints of one exchange.

    Args:
        core: the exchange.
        rng: draws tokens.
        history_cost: see `Gate`.
        limit_calls: see `Gate`.
    """

    def __init__(
        self, core: ExchangeCore, rng: random.Random, *, history_cost: int, limit_calls: bool
    ) -> None:
        self.tokens = Tokens(rng, core.faults)
        self.trading = Trading(self, core, core.desk)
        self.gate = Gate(
            core.accounts.values(), core.faults, history_cost=history_cost, limit_calls=limit_calls
        )
        self._core = core
        self._endpoints: dict[str, Handler] = {
            "GetWebSocketsToken": self._token,
            "GetApiKeyInfo": self._key_info,
            "Balance": self._balance,
            "BalanceEx": self._balance_ex,
            "TradeBalance": self._trade_balance,
            # There is no margin here, so nobody has a position; consolidated ones would come as a list.
            "OpenPositions": lambda call: [] if "consolidation" in call.params else {},
            "CreditLines": lambda _: None,  # for the largest customers only; for others Kraken gives null
            "TradeVolume": self._trade_volume,
            "Level3": self._level3,
            **dict.fromkeys(MONEY_MOVERS, _refuse),
            **Queries(self).endpoints,
            **Exports(self, rng).endpoints,
            **self.trading.endpoints,
        }

    def handle(self, path: str, body: bytes, headers: Mapping[str, str], address: str) -> Any:
        """Answer one call with its result.

        Raises:
            RestError: it is refused.
        """
        now_ns = self._core.now_ns()
        self._core.desk.advance(now_ns)
        call = self.gate.admit(path, body, headers, address, now_ns, self._endpoints.__contains__)
        if self._core.system_status == "maintenance":
            raise RestError("EService:Unavailable")
        return self._endpoints[call.name](call)

    def books(self, call: Call) -> Books:
        """Give what a query shows: the account, or what it was if a `lag` fault says so."""
        fault = self._core.faults.fire("lag", endpoint=call.name)
        return call.account.as_of(call.now_ns - int(fault["seconds"] * NS_PER_S)) if fault else call.account

    def asset(self, name: str) -> Asset:
        """Find an asset by any of its names.

        Raises:
            RestError: it is not listed.
        """
        for asset in self._core.listing.assets.values():
            if name in (asset.id, asset_altname(asset.id), asset_id(asset.id)):
                return asset
        raise RestError("EQuery:Unknown asset")

    def pair(self, symbol: str) -> Pair:
        """Give a pair by its symbol, with its present precisions."""
        return self._core.listing.pairs[symbol]

    def listed_pair(self, name: str) -> Pair:
        """Find a pair by any of its names.

        Raises:
            RestError: it is not listed.
        """
        pair = self._core.listing.named(name)
        if pair is None:
            raise RestError("EQuery:Unknown asset pair")
        return pair

    def precision(self, asset: str) -> int:
        """Give the decimals of an asset."""
        return self._core.listing.assets[asset].precision

    def amount(self, asset: str, amount: Decimal) -> str:
        """Write an amount of an asset with all its decimals."""
        return padded(amount, self.precision(asset))

    def _token(self, call: Call) -> Any:
        token, seconds = self.tokens.issue(call.account, call.key, call.now_ns)
        return {"token": token, "expires": seconds}

    def _key_info(self, call: Call) -> Any:
        # Clients disagree on the names; snake_case is what two of them decode from the wire.
        key = call.key
        return {
            "api_key_name": key.name,
            "api_key": key.key,
            "nonce": str(key.nonce),
            "nonce_window": str(key.nonce_window),
            "permissions": sorted(key.permissions),
            "iban": "AA00 N00G 0000 0000",
            "valid_until": "0",
            "query_from": "0",
            "query_to": "0",
            "created_time": str(key.created_ns // NS_PER_S),
            "modified_time": str(key.created_ns // NS_PER_S),
            "ip_allowlist": list(key.ip_allowlist),
            "last_used": str(key.used_ns // NS_PER_S),
        }

    def _balance(self, call: Call) -> Any:
        return {
            asset_id(asset): self.amount(asset, balance)
            for asset, balance in self.books(call).balances.items()
        }

    def _balance_ex(self, call: Call) -> Any:
        books = self.books(call)
        return {
            asset_id(asset): {
                "balance": self.amount(asset, balance),
                "hold_trade": self.amount(asset, books.hold(asset)),
            }
            for asset, balance in books.balances.items()
        }

    def _trade_balance(self, call: Call) -> Any:
        asset = self.asset(call.params.text("asset") or "ZUSD").id
        books = self.books(call)
        rate = self._core.last_price(asset, "USD") or Decimal(1)
        total = free = ZERO
        for held, balance in books.balances.items():
            # What has no price here counts for nothing, as it does not serve as collateral.
            price = self._core.last_price(held, "USD")
            if price is not None:
                total += balance * price / rate
                free += (balance - books.hold(held)) * price / rate
        worth, left, nothing = self.amount(asset, total), self.amount(asset, free), self.amount(asset, ZERO)
        margin = dict.fromkeys(
            ("m", "uv", "n", "c", "v"), nothing
        )  # no positions, so nothing bound or floating
        return {"eb": worth, "tb": worth, **margin, "e": worth, "mf": worth, "mfo": left}

    def _trade_volume(self, call: Call) -> Any:
        volume = call.account.volume_usd
        usd = 4  # the fee schedule counts in ZUSD, whether dollars are listed here or not
        worth = sum(
            (
                balance * (self._core.last_price(asset, "USD") or ZERO)
                for asset, balance in call.account.balances.items()
            ),
            ZERO,
        )
        result: dict[str, Any] = {
            "currency": "ZUSD",
            "volume": padded(volume, usd),
            "inputs": {
                "domain_spot_volume_30d": padded(volume, usd),
                "domain_futures_volume_30d": padded(ZERO, usd),
                "domain_assets_on_platform": padded(worth, usd),
            },
        }
        pairs = [self.listed_pair(name) for name in call.params.names("pair")]
        if pairs:
            for name, maker in (("fees", False), ("fees_maker", True)):
                result[name] = {pair.rest_id: _fee_row(volume, maker=maker) for pair in pairs}
        return result

    def _level3(self, call: Call) -> Any:
        pair = self.listed_pair(call.params.required("pair"))
        depth = call.params.integer("depth", 100)
        if depth not in LEVEL3_DEPTHS:
            raise invalid("depth")
        market = self._core.market(pair.symbol)
        return {
            "pair": pair.symbol,
            **{
                name: [
                    {
                        "price": long_price(level.price, pair),
                        "qty": padded(order.qty, 8),
                        "order_id": self._core.order_name(pair.symbol, order),
                        "timestamp": order.time_ns,
                    }
                    for level in side.best(depth or len(side))
                    for order in level.orders.values()
                ]
                for name, side in (("bids", market.engine.bids), ("asks", market.engine.asks))
            },
        }


def _refuse(_: Call) -> Any:
    raise RestError("EAPI:Feature disabled")


def _fee_row(volume: Decimal, *, maker: bool) -> dict[str, str | None]:
    tier = fee_tier(volume)
    above = next_tier(tier)
    percents = [each.percent(maker=maker) for each in SCHEDULE]
    return {
        "fee": padded(tier.percent(maker=maker), 4),
        "minfee": padded(min(percents), 4),
        "maxfee": padded(max(percents), 4),
        "nextfee": None if above is None else padded(above.percent(maker=maker), 4),
        "nextvolume": None if above is None else padded(above.volume, 4),
        "tiervolume": padded(tier.volume, 4),
    }
