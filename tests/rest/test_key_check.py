"""What is checked of a key before it is used."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kraken_fast.auth import Credentials
from kraken_fast.config import KRAKEN_HOSTS
from kraken_fast.errors import ConfigError, PermissionDeniedError
from kraken_fast.rest.key_check import check_host, check_permissions, nonce_of

REAL, BOXED = Credentials("real", "c2VjcmV0"), Credentials("SIMKEYabc", "c2VjcmV0")


@pytest.mark.fault("X18", kind="U")
@pytest.mark.fault("X41", kind="U")
@pytest.mark.parametrize(
    ("host", "who", "is_fine"),
    [
        ("api.kraken.com", REAL, True),
        ("api.kraken.com.example.org", REAL, False),
        ("kraken.com", REAL, False),
        ("", REAL, False),
        ("127.0.0.1", REAL, False),
        ("127.0.0.1", BOXED, True),
        ("example.org", BOXED, False),
    ],
)
def test_where_a_key_may_be_shown(host: str, who: Credentials, is_fine: bool) -> None:
    if is_fine:
        check_host(host, who, KRAKEN_HOSTS)
    else:
        with pytest.raises(ConfigError):
            check_host(host, who, KRAKEN_HOSTS)


@pytest.mark.fault("X08", kind="U")
@pytest.mark.parametrize("name", ["withdraw-funds", "funds-withdraw", "withdraw"])
def test_a_key_that_may_withdraw_is_refused_unless_that_is_allowed(name: str) -> None:
    info = {"permissions": ["query-funds", name]}
    with pytest.raises(ConfigError, match="withdrawal"):
        check_permissions(info, frozenset(), allow_withdraw=False)
    check_permissions(info, frozenset(), allow_withdraw=True)


@pytest.mark.fault("A04", kind="U")
def test_the_first_missing_permission_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(PermissionDeniedError, match="create-ws-token"):
        check_permissions(
            {"permissions": ["deposit-funds"]}, frozenset(["modify-trades", "create-ws-token"]), allow_withdraw=False
        )
    assert "deposits" in caplog.text


@pytest.mark.parametrize("info", [None, [], {}, {"permissions": None}, {"permissions": [1, None]}])
def test_an_answer_that_says_nothing_grants_nothing(info: Any) -> None:
    check_permissions(info, frozenset(), allow_withdraw=False)
    with pytest.raises(PermissionDeniedError):
        check_permissions(info, frozenset(["query-funds"]), allow_withdraw=False)
    assert nonce_of(info) in ("", " (at start the key's was None, its window None)")


def test_both_spellings_of_the_window_are_read() -> None:
    assert "was 5, its window 7" in nonce_of({"nonce": "5", "nonceWindow": "7"})
    assert "was 5, its window 8" in nonce_of({"nonce": "5", "nonce_window": "8"})
