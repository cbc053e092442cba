"""The hosts under which Kraken serves WebSocket v2, and what each of them answers for.

Kraken keeps three: market data, accounts with trading, and level 3. A box has one port, so besides the host's
name (`ws-auth.` and `ws-l3.`) a path in front of `/v2` tells which of them a client means.

Source: https://docs.kraken.com/api/docs/guides/global-intro, read 2026-11; level 3 has had its own host since
2025-12-02.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Face:
    """One host.

    Attributes:
        prefix: of its host names.
        path: under which it is served whatever the host is called.
        channels: what can be subscribed.
        trades: whether orders are taken.
        elsewhere: the refusal of a channel or method of another host. What Kraken says was not recorded for
            this version of the API; the words are those of the first one.
    """

    name: str
    prefix: str
    path: str
    channels: frozenset[str]
    trades: bool
    elsewhere: str


PUBLIC = Face(
    "public",
    "ws.",
    "/v2",
    frozenset({"book", "ticker", "trade", "ohlc", "instrument"}),
    trades=False,
    elsewhere="Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com",
)
PRIVATE = Face(
    "private",
    "ws-auth.",
    "/auth/v2",
    frozenset({"executions", "balances"}),
    trades=True,
    elsewhere="Public channels not available in this endpoint",
)
LEVEL3 = Face(
    "level3",
    "ws-l3.",
    "/l3/v2",
    frozenset({"level3"}),
    trades=False,
    elsewhere="Public channels not available in this endpoint",
)

FACES = (PUBLIC, PRIVATE, LEVEL3)


def face_of(path: str, host: str) -> Face | None:
    """Tell which host a client means, None if there is none.

    >>> face_of("/v2", "ws-auth.kraken.com").name, face_of("/l3/v2", "localhost:80").name
    ('private', 'level3')
    """
    for face in FACES[1:]:
        if path == face.path or (path == PUBLIC.path and host.lower().startswith(face.prefix)):
            return face
    return PUBLIC if path == PUBLIC.path else None
