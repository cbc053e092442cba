"""Settings refuse what is wrong, before any I/O, naming field, value and rule."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from kraken_fast.config import (
    BOOK_DEPTHS,
    OHLC_INTERVALS,
    Endpoints,
    LineSettings,
    RestSettings,
    SubscriptionSettings,
    check_book_depth,
    check_ohlc_interval,
    check_symbols,
    from_mapping,
    is_loopback,
)
from kraken_fast.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "ws://ws.kraken.com/v2",
        "http://ws.kraken.com",
        "wss://",
        "wss://user:secret@ws.kraken.com",
        "wss://ws.kraken.com#x",
        "wss://ws.kraken.com:99999",
        "wss://[::1",
        "wss://ws.kraken.com/a b",
        "wss://ws.kraken.com/\r\nX: y",
        "wss://ws.kräken.com",
        "ws://127.0.0.1.example.com",
        "ws://0.0.0.0",
        "",
        None,
        5,
        b"wss://ws.kraken.com",
    ],
)
@pytest.mark.fault("C05", kind="U")
def test_addresses_that_are_not_secure_or_not_addresses(url: Any) -> None:
    with pytest.raises(ConfigError, match="ws_url"):
        Endpoints(ws_url=url)


def test_plain_text_is_for_loopback() -> None:
    for host in ("localhost", "127.0.0.1", "127.1.2.3", "[::1]", "LOCALHOST"):
        assert Endpoints(ws_url=f"ws://{host}:80/v2", rest_url=f"http://{host}").ws_url
    assert not is_loopback("localhost.example")
    assert not is_loopback("10.0.0.1")
    with pytest.raises(ConfigError, match="rest_url"):
        Endpoints(rest_url="http://api.kraken.com")
    with pytest.raises(ConfigError, match="ca_file"):
        Endpoints(ca_file=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values", [{"hosts": "evil.kraken.com"}, {"hosts": (None,)}, {"cache_s": None}, {"cache_s": 3}, {"limits": "no"}]
)
def test_rest_settings_of_another_kind_are_refused(values: dict[str, Any]) -> None:
    """As a file might hold them; in a text of hosts, parts of a name would be found."""
    with pytest.raises(ConfigError) as caught:
        from_mapping(RestSettings, values)
    assert caught.value.field in values


@pytest.mark.parametrize("settings", [LineSettings, SubscriptionSettings])
@pytest.mark.fault("C01", kind="U")
def test_every_number_has_bounds(settings: type[Any]) -> None:
    settings()
    for field in dataclasses.fields(settings):
        for value in (0, -1, float("nan"), float("inf"), True, "1", None, 10**30):
            with pytest.raises(ConfigError, match=field.name):
                settings(**{field.name: value})
        if field.type == "int":
            with pytest.raises(ConfigError, match="whole"):
                settings(**{field.name: 2000.5})


def test_dead_comes_after_suspect() -> None:
    with pytest.raises(ConfigError, match=r"dead_s.*suspect_s"):
        LineSettings(suspect_s=3.0, dead_s=3.0)


@pytest.mark.fault("C01", kind="U")
def test_unknown_keys_are_refused_by_name() -> None:
    assert from_mapping(LineSettings, {"connect_s": 2}).connect_s == 2
    with pytest.raises(ConfigError, match=r"conect_s.*connect_s"):
        from_mapping(LineSettings, {"conect_s": 2})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LineSettings().connect_s = 1.0  # type: ignore[misc]
    assert not hasattr(LineSettings(), "__dict__")


@pytest.mark.fault("C01", kind="U")
def test_depths_and_intervals_are_the_exchanges() -> None:
    for check, allowed, wrong in (
        (check_book_depth, BOOK_DEPTHS, (0, 50, -10, 10.0, "10", True, None, 10**9)),
        (check_ohlc_interval, OHLC_INTERVALS, (0, 2, 1.0, True, "1", None)),
    ):
        for value in allowed:
            assert check(value) == value
        for bad in wrong:
            with pytest.raises(ConfigError):
                check(bad)


@pytest.mark.fault("C02", kind="U")
@pytest.mark.fault("C08", kind="U")
@pytest.mark.parametrize(
    "symbols",
    [
        [],
        "BTC/USD",
        b"BTC/USD",
        [""],
        [None],
        [5],
        ["BTC/USD\n"],
        ["BTC\x00USD"],
        ["BTC\u202eUSD"],
        ["\ud800"],
        ["é" * 17],
        ["X" * 10_000_000],
        [f"S{i}" for i in range(5001)],
    ],
    ids=range(13),
)
def test_symbols_that_cannot_be(symbols: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        check_symbols(symbols)
    assert len(str(caught.value)) < 300


@pytest.mark.fault("C02", kind="U")
@pytest.mark.fault("C07", kind="U")
def test_symbols_are_copied_and_merged_in_order() -> None:
    given = ["ETH/USD", "BTC/USD", "ETH/USD", "TSLAx/USD"]
    checked = check_symbols(given)
    given.clear()
    assert checked == ("ETH/USD", "BTC/USD", "TSLAx/USD")
    assert len(check_symbols(f"S{i}" for i in range(5000))) == 5000
