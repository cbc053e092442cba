"""Whatever a bot already has, as a REST client of ours: nothing, credentials, our client, or a ccxt kraken instance.

ccxt is never imported: an instance is known by what it has. Its key and secret are taken, and so are its addresses, so
that a bot which points ccxt at an exchange in a box finds us there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ..auth import Credentials
from ..config import PRIVATE_WS_URL, PUBLIC_WS_URL, Endpoints
from ..errors import ConfigError
from ..rest.endpoints import RestClient

PRIVATE_URLS = {
    PUBLIC_WS_URL: PRIVATE_WS_URL,
    "wss://beta-ws.kraken.com/v2": "wss://beta-ws-auth.kraken.com/v2",
}
"""Which private host belongs to which public one. Source: websocket-v2.md section 1."""

ALLOWED = "None, Credentials, a RestClient, or a ccxt kraken instance"


@dataclass(frozen=True, slots=True)
class ResolvedClient:
    """A client, where the exchange is, and whether the client is ours to close."""

    client: RestClient
    endpoints: Endpoints
    is_ours: bool
    has_key: bool
    account_url: str | None = None
    """Of the private line that belongs to the public one, if that is known."""


def resolve_client(given: Any, endpoints: Endpoints | None = None, **options: Any) -> ResolvedClient:
    """Make a client of whatever is given.

    Args:
        given: see the module.
        endpoints: where the exchange is; None takes it from a ccxt instance, else Kraken's own addresses.
        options: arguments of `RestClient` for one that has to be made.

    Raises:
        ConfigError: it is something else, or a ccxt instance of another exchange.
    """
    where = endpoints or Endpoints()
    private = PRIVATE_URLS.get(where.ws_url)
    if given is None:
        return ResolvedClient(RestClient(endpoints=where, **options), where, is_ours=True, has_key=False)
    if isinstance(given, RestClient):
        return ResolvedClient(given, where, is_ours=False, has_key=given.has_key, account_url=private)
    if isinstance(given, Credentials):
        client = RestClient(given, endpoints=where, **options)
        return ResolvedClient(client, where, is_ours=True, has_key=True, account_url=private)
    if not hasattr(given, "apiKey") or not hasattr(given, "urls"):
        raise ConfigError("exchange_client", type(given).__name__, ALLOWED)
    name = str(getattr(given, "id", "kraken"))
    if name not in ("kraken", "krakenpro"):
        raise ConfigError("exchange_client", f"ccxt {name}", f"{ALLOWED}; spot has no other exchange")
    if endpoints is None:
        where = ccxt_endpoints(given)
        private = ccxt_url(given, "privateV2", "private") or PRIVATE_URLS.get(where.ws_url)
    key, secret = getattr(given, "apiKey", None), getattr(given, "secret", None)
    credentials = Credentials(str(key), str(secret)) if key and secret else None
    client = RestClient(credentials, endpoints=where, **options)
    has_key = credentials is not None
    return ResolvedClient(client, where, is_ours=True, has_key=has_key, account_url=private)


def ccxt_endpoints(exchange: Any) -> Endpoints:
    """Read the addresses of a ccxt instance; what it does not tell is Kraken's own.

    Its `urls["api"]` has public and private REST addresses and, with WebSocket support, `ws` with several; ours is the
    public one of version 2.
    """
    where = Endpoints()
    urls = exchange.urls.get("api") if isinstance(exchange.urls, Mapping) else None
    if isinstance(urls, str):
        return replace(where, rest_url=_filled(urls, exchange))
    if not isinstance(urls, Mapping):
        return where
    rest = urls.get("private") or urls.get("public")
    if isinstance(rest, str):
        where = replace(where, rest_url=_filled(rest, exchange))
    url = ccxt_url(exchange, "publicV2", "public")
    return where if url is None else replace(where, ws_url=url)


def ccxt_url(exchange: Any, *names: str) -> str | None:
    """Read the first address of version 2 among those that a ccxt instance has under these names."""
    urls = exchange.urls.get("api") if isinstance(exchange.urls, Mapping) else None
    lines = urls.get("ws") if isinstance(urls, Mapping) else None
    for name in names:
        url = lines.get(name) if isinstance(lines, Mapping) else None
        if isinstance(url, str) and urlsplit(url).path.rstrip("/").endswith("/v2"):
            return _filled(url, exchange)
    return None


def _filled(url: str, exchange: Any) -> str:
    """Fill in the host name that ccxt leaves open, and drop the version that our paths bring."""
    url = url.replace("{hostname}", str(getattr(exchange, "hostname", None) or "kraken.com"))
    return url.removesuffix("/").removesuffix("/0")
