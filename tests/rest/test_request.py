"""Requests: the parameters as Kraken reads them, signed as they are sent."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_box import KEY, SECRET, credentials

from kraken_fast.auth import Credentials
from kraken_fast.errors import ConfigError, InvalidOrderError
from kraken_fast.rest.catalogue import ENDPOINTS
from kraken_fast.rest.request import plain_fields, public_request, signed_request

URL = "https://api.kraken.com"


@pytest.mark.parametrize(
    "value", [0.1 + 0.2, 1.0, float("nan"), Decimal("NaN"), Decimal("Infinity"), object(), b"1"]
)
def test_what_is_not_exact_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOrderError, match="price"):
        plain_fields({"price": value}, is_order=True)
    with pytest.raises(ConfigError):
        plain_fields({"price": value})


def test_a_refused_float_shows_what_to_write() -> None:
    with pytest.raises(InvalidOrderError, match="'9.7e-07'"):
        plain_fields({"price": 9.7e-7}, is_order=True)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_goes_out_as_it_is_and_never_with_an_exponent(value: Decimal) -> None:
    text = plain_fields({"price": value})["price"]
    assert "e" not in text.lower()
    assert Decimal(text) == value


@pytest.mark.fault("A13", kind="U")
def test_the_callers_parameters_are_not_touched_and_not_trusted() -> None:
    params = {"nonce": 1, "otp": "0", "asset": "ZUSD"}
    request = signed_request(credentials(), URL, ENDPOINTS["TradeBalance"], plain_fields(params), nonce="99")
    assert params == {"nonce": 1, "otp": "0", "asset": "ZUSD"}
    assert dict(parse_qsl(request.body.decode())) == {"nonce": "99", "asset": "ZUSD"}


def test_what_is_signed_is_what_is_sent() -> None:
    who = Credentials(KEY, SECRET, otp=lambda: "482913")
    fields = plain_fields(
        {"close": {"ordertype": "limit"}, "orders": [{"price": Decimal("1E-8"), "none": None}]}, is_json=True
    )
    for endpoint, params in (
        (ENDPOINTS["AddOrderBatch"], fields),
        (ENDPOINTS["AddOrder"], {"expiretm": "+30", "oflags": "post,fciq"}),
    ):
        request = signed_request(who, URL, endpoint, params, nonce="7")
        assert request.headers["API-Sign"] == who.sign(endpoint.path, "7", request.body)
    assert request.body == b"nonce=7&expiretm=%2B30&oflags=post%2Cfciq&otp=482913"
    batch = signed_request(who, URL, ENDPOINTS["AddOrderBatch"], fields, nonce="7")
    assert json.loads(batch.body)["orders"] == [{"price": "0.00000001"}]
    assert KEY not in repr(batch)
    assert "482913" not in repr(batch)


def test_public_requests_carry_no_headers() -> None:
    assert (
        public_request(URL, ENDPOINTS["Ticker"], {"pair": "A,B"}).url == f"{URL}/0/public/Ticker?pair=A%2CB"
    )
    assert public_request(URL, ENDPOINTS["Time"], {}).url == f"{URL}/0/public/Time"
    assert public_request(URL, ENDPOINTS["Time"], {}).headers == {}


@pytest.mark.fault("C08", kind="U")
@pytest.mark.parametrize("text", ['"\\', "a\0b", "\u202eevil", "ü&=?#%+ ", "x" * 10_000])
def test_hostile_texts_come_back_as_they_went(text: str) -> None:
    request = signed_request(
        credentials(), URL, ENDPOINTS["AddOrder"], plain_fields({"userref": text}), nonce="1"
    )
    assert dict(parse_qsl(request.body.decode(), keep_blank_values=True))["userref"] == text
