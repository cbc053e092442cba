"""The gate of the private REST API: key, signature, nonce, permission, call counter, in this order.

The signature is checked over the very bytes of the body, so a client that encodes twice is found out. Kraken
does not document the order of the checks beyond "the key comes before the parameters"; ours refuses first
what costs least to find out, and an answer to a wrong signature never moves the nonce. An address that a key is not
for is answered as if there were no such key. The words for a wrong one-time password are not documented: ours are those
for any failed authentication.

Source: https://docs.kraken.com/api/docs/guides/spot-rest-auth, read 2026-11.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .account import Account, ApiKey
from .faults import Faults
from .limits import FREE_CALLS, HISTORY_CALLS, TIERS, Lockouts
from .params import Params, parse_body
from .refusals import RestError
from .signing import sign
from .texts import NS_PER_S

NONCE_MAX = 2**64 - 1

PERMISSIONS_NEEDED: Mapping[str, tuple[str, ...]] = {
    # Any one of them suffices; a call that is not here needs none.
    "GetWebSocketsToken": ("create-ws-token",),
    "Balance": ("query-funds",),
    "BalanceEx": ("query-funds",),
    "CreditLines": ("query-funds",),
    "TradeVolume": ("query-funds",),
    "TradeBalance": ("query-open-trades",),
    "OpenOrders": ("query-open-trades",),
    "OpenPositions": ("query-open-trades",),
    "Level3": ("query-open-trades",),
    "ClosedOrders": ("query-closed-trades",),
    "TradesHistory": ("query-closed-trades",),
    "QueryTrades": ("query-closed-trades",),
    "QueryOrders": ("query-open-trades", "query-closed-trades"),
    "OrderAmends": ("query-open-trades", "query-closed-trades"),
    "Ledgers": ("query-ledger",),
    "QueryLedgers": ("query-ledger",),
    "AddExport": ("export-data",),
    "ExportStatus": ("export-data",),
    "RetrieveExport": ("export-data",),
    "RemoveExport": ("export-data",),
    "AddOrder": ("modify-trades",),
    "AddOrderBatch": ("modify-trades",),
    "EditOrder": ("modify-trades",),
    "AmendOrder": ("modify-trades", "close-trades"),
    "CancelOrder": ("modify-trades", "close-trades"),
    "CancelOrderBatch": ("modify-trades", "close-trades"),
    "CancelAll": ("modify-trades", "close-trades"),
    "CancelAllOrdersAfter": ("modify-trades", "close-trades"),
    "Withdraw": ("withdraw-funds",),
    "WithdrawCancel": ("withdraw-funds",),
    "WalletTransfer": ("withdraw-funds",),
    "AccountTransfer": ("withdraw-funds",),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One private call that has passed the gate."""

    name: str
    account: Account
    key: ApiKey
    params: Params
    now_ns: int


class Gate:
    """Lets calls in or refuses them.

    Args:
        accounts: whose keys are known; keys may be added later.
        faults: of the exchange.
        history_cost: of Ledgers, TradesHistory and ClosedOrders: 2 or 4, as Kraken's pages disagree.
        limit_calls: whether the call counter refuses.
    """

    def __init__(
        self, accounts: Iterable[Account], faults: Faults, *, history_cost: int, limit_calls: bool
    ) -> None:
        self.lockouts = Lockouts()
        self.limit_calls = limit_calls
        self._accounts = accounts
        self._faults = faults
        self._history_cost = history_cost

    def admit(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        address: str,
        now_ns: int,
        exists: Callable[[str], bool],
    ) -> Call:
        """Let a call in.

        Args:
            path: of the URL, as signed.
            body: as it came.
            headers: by lower-case name.
            address: of the caller: what a lockout shuts out.
            now_ns: when.
            exists: tells whether there is an endpoint of that name.

        Raises:
            RestError: it is refused.
        """
        name = path.rpartition("/")[2]
        self._lockout(name, address, now_ns)
        account, key = self._key(headers.get("api-key", ""), address, now_ns)
        params = parse_body(body, headers.get("content-type", ""))
        nonce = params.text("nonce") or ""
        signed = sign(key.secret, path, nonce, body)
        given = headers.get("api-sign", "").encode(errors="replace")
        if not hmac.compare_digest(signed.encode(), given):
            raise RestError("EAPI:Invalid signature")
        self._nonce(name, key, nonce)
        if key.otp is not None and not hmac.compare_digest(key.otp.encode(), (params.text("otp") or "").encode()):
            raise RestError("EAuth:Failed:one-time password")
        key.used_ns = now_ns
        if not exists(name):
            raise RestError("EGeneral:Unknown method")
        needed = PERMISSIONS_NEEDED.get(name)
        if needed is not None and not key.permissions.intersection(needed):
            raise RestError("EGeneral:Permission denied")
        self._count(name, account, key, now_ns)
        return Call(name, account, key, params, now_ns)

    def _lockout(self, name: str, address: str, now_ns: int) -> None:
        if fault := self._faults.fire("lockout", endpoint=name):
            self.lockouts.lock(address, int(fault["seconds"] * NS_PER_S), now_ns)
        if self.lockouts.holds(address, now_ns):
            raise RestError("EGeneral:Temporary lockout")

    def _key(self, text: str, address: str, now_ns: int) -> tuple[Account, ApiKey]:
        for account in self._accounts:
            for key in account.keys:
                if key.key == text and (not key.ip_allowlist or address in key.ip_allowlist):
                    self.lockouts.passed(address)
                    return account, key
        self.lockouts.failed(address, now_ns)
        raise RestError("EAPI:Invalid key")

    def _nonce(self, name: str, key: ApiKey, text: str) -> None:
        fault = self._faults.fire("nonce_check", endpoint=name)
        window = key.nonce_window if fault is None else fault["window"]
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else NONCE_MAX + 1
        fresh = number > key.nonce or bool(window and number >= key.nonce - window)
        if not fresh or number > NONCE_MAX:
            raise RestError("EAPI:Invalid nonce")
        key.nonce = max(key.nonce, number)

    def _count(self, name: str, account: Account, key: ApiKey, now_ns: int) -> None:
        fault = self._faults.fire("counter", endpoint=name)
        if fault is None and not self.limit_calls:
            return
        tier = account.tier if fault is None else TIERS[fault["tier"]]
        cost = self._history_cost if name in HISTORY_CALLS else 0 if name in FREE_CALLS else 1
        points = key.calls.points(tier.calls_decay, now_ns)
        if cost and points + cost > tier.calls_max:
            raise RestError("EAPI:Rate limit exceeded")
        key.calls.add(cost)
