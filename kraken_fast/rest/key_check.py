"""What is checked of a key before it is used: where it may be shown, what it may do, where its nonces are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..auth import Credentials
from ..config import is_loopback
from ..errors import ConfigError, PermissionDeniedError

_log = logging.getLogger("kraken_fast.rest")


def check_host(host: str, credentials: Credentials, hosts: tuple[str, ...]) -> None:
    """Check that a host may be shown a key: one of Kraken's, or a box on this machine and a key of a box.

    Raises:
        ConfigError: it may not. `RestSettings.hosts` names further ones.
    """
    if host in hosts or (is_loopback(host) and credentials.is_of_a_box):
        return
    what = (
        "a key of an exchange in a box"
        if is_loopback(host)
        else f"one of {', '.join(hosts)}, to be shown a key"
    )
    raise ConfigError("rest_url", host, f"{what}; RestSettings.hosts names others that you trust")


def check_permissions(info: Any, needs: frozenset[str], *, allow_withdraw: bool) -> None:
    """Check what a key may do, as `GetApiKeyInfo` tells it.

    Raises:
        PermissionDeniedError: it lacks something that is needed.
        ConfigError: it may withdraw, and nobody allowed that.
    """
    listed = info.get("permissions") if isinstance(info, Mapping) else None
    permissions = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    if any("withdraw" in name for name in permissions) and not allow_withdraw:
        raise ConfigError(
            "credentials",
            "***",
            "a key without withdrawal permission: make a new one, or pass allow_withdraw=True",
        )
    if any("deposit" in name for name in permissions):
        _log.warning("this key may make deposits; a bot needs no such permission")
    for name in sorted(needs.difference(permissions)):
        error = PermissionDeniedError("EGeneral:Permission denied", endpoint="GetApiKeyInfo")
        error.permission = name
        raise error


def nonce_of(info: Any) -> str:
    """Say where the nonces of a key were, as `GetApiKeyInfo` tells it."""
    if not isinstance(info, Mapping):
        return ""
    window = info.get("nonce_window", info.get("nonceWindow"))
    return f" (at start the key's was {info.get('nonce')}, its window {window})"
