"""Who may be shown a token, and what every face checks before anything is sent."""

from __future__ import annotations

import pytest

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints
from kraken_fast.errors import ClosedError, ConfigError
from kraken_fast.private.account import connect_account
from kraken_fast.private.face import client_of
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.session import SessionSettings

from ..simulation.accounts import AccountWorld

KRAKEN, BOX = "https://api.kraken.com", "http://127.0.0.1:9"


async def rest(url: str) -> RestClient:
    key = "SIMKEYabc" if url == BOX else "real"
    return RestClient(Credentials(key, "c2VjcmV0"), endpoints=Endpoints(rest_url=url), nonces=MemoryNonces())


@pytest.mark.fault("X18", kind="U")
@pytest.mark.fault("X41", kind="U")
@pytest.mark.parametrize(
    ("ws_url", "rest_url", "is_fine"),
    [
        ("wss://ws-auth.kraken.com/v2", KRAKEN, True),
        ("wss://ws-l3.kraken.com/v2", KRAKEN, True),
        ("ws://127.0.0.1:9/auth/v2", BOX, True),
        ("wss://ws-auth.kraken.com.example/v2", KRAKEN, False),
        ("wss://example.org/v2", KRAKEN, False),
        ("wss://kraken.com/v2", KRAKEN, False),
        ("ws://127.0.0.1:9/auth/v2", KRAKEN, False),
    ],
)
async def test_a_token_is_shown_to_kraken_or_to_a_box(ws_url: str, rest_url: str, *, is_fine: bool) -> None:
    client = await rest(rest_url)
    endpoints = Endpoints(ws_url=ws_url, rest_url=rest_url)
    if is_fine:
        assert client_of(None, client, endpoints, SessionSettings(), ()) is client
    else:
        with pytest.raises(ConfigError, match="ws_url"):
            client_of(None, client, endpoints, SessionSettings(), ())
    await client.close()


async def test_there_is_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KRAKEN_API_KEY", "KRAKEN_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    client = await rest(KRAKEN)
    with pytest.raises(ConfigError, match="credentials"):
        connect_account(Credentials("real", "c2VjcmV0"), rest=client)
    with pytest.raises(ConfigError, match="KRAKEN_API_KEY"):
        connect_account()
    await client.close()


def test_a_face_is_opened_once_and_its_iterators_end_with_it() -> None:
    world = AccountWorld()

    async def main() -> None:
        account = world.connect()
        async with account:
            with pytest.raises(ClosedError):
                await account.open()
            events = account.events()
        assert [event async for event in events][-1].new == "closed"  # type: ignore[union-attr]
        assert [event async for event in account.events()] == []

    world.run(main())
