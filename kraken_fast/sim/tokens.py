"""WebSocket tokens: who may use one, and how long.

A token must be used first within fifteen minutes. From then on it lives as long as a subscription of a
private channel that was made with it, on whichever connection. Kraken documents no more than that; which of
its two refusals it uses when was not recorded: here a text that was never a token is an invalid token, one
that has had its time an invalid session.

Source: https://docs.kraken.com/api/docs/guides/spot-ws-auth, read 2026-11.
"""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass

from .account import Account, ApiKey
from .faults import Faults
from .refusals import RestError
from .texts import NS_PER_S

TOKEN_SECONDS = 900
"""A token must be used first within this time."""

_NO_PUNCTUATION = {43: "a", 47: "b", 61: None}


@dataclass(slots=True, eq=False)
class Token:
    """Who may open private channels with a token, and until when it must have been used first.

    Attributes:
        holders: subscriptions that live on it.
        revoked: it will never be accepted again.
    """

    account: Account
    key: ApiKey
    expires_ns: int
    holders: int = 0
    revoked: bool = False

    def lives(self, now_ns: int) -> bool:
        """Tell whether a request with it is accepted."""
        return not self.revoked and (self.holders > 0 or now_ns < self.expires_ns)


class Tokens:
    """The tokens of one exchange.

    Args:
        rng: draws them.
        faults: of the exchange.
    """

    def __init__(self, rng: random.Random, faults: Faults) -> None:
        self._rng = rng
        self._faults = faults
        self._tokens: dict[str, Token] = {}

    def __getitem__(self, text: str) -> Token:
        """Give a token that was issued."""
        return self._tokens[text]

    def issue(self, account: Account, key: ApiKey, now_ns: int) -> tuple[str, int]:
        """Give a key a new token, and the seconds within which it must be used first."""
        # A day later nobody asks why a token is refused.
        for text, token in list(self._tokens.items()):
            if not token.holders and token.expires_ns < now_ns - 86_400 * NS_PER_S:
                del self._tokens[text]
        fault = self._faults.fire("token_ttl")
        seconds = TOKEN_SECONDS if fault is None else fault["seconds"]
        text = base64.b64encode(self._rng.randbytes(32)).decode().translate(_NO_PUNCTUATION)
        self._tokens[text] = Token(account, key, now_ns + int(seconds * NS_PER_S))
        return text, int(seconds)

    def admit(self, text: str, now_ns: int, **where: object) -> Token:
        """Give the token that a request brings.

        Args:
            text: as it came.
            now_ns: when.
            **where: session, endpoint and channel of the request: what faults match.

        Raises:
            RestError: it is not accepted.
        """
        token = self._tokens.get(text)
        if fault := self._faults.fire("token", **where):
            raise RestError(fault["error"])
        if token is None:
            raise RestError("EAPI:Invalid token")
        if not token.lives(now_ns):
            raise RestError("ESession:Invalid session")
        return token

    def revoke_all(self) -> None:
        """Accept none of the tokens so far any more; what was subscribed with them goes on."""
        for token in self._tokens.values():
            token.revoked = True
