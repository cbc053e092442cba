"""What is known of each endpoint agrees with the examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kraken_fast.errors import ConfigError
from kraken_fast.rest.catalogue import ENDPOINTS, Priority, endpoint_of, moves_money_out

EXAMPLES = json.loads((Path(__file__).parent.parent / "data" / "rest-examples.json").read_text())["spot"]
LEFT_OUT = {"DepositMethods", "WithdrawStatus", "WalletTransfer", "AccountTransfer", "CreateSubaccount"}


def test_all_endpoints_but_funding_and_subaccounts_are_there() -> None:
    assert set(ENDPOINTS) == {example["name"] for example in EXAMPLES} - LEFT_OUT
    assert len(ENDPOINTS) == 42


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e["name"] in ENDPOINTS], ids=lambda e: e["name"])
def test_path_method_and_body_agree(example: dict[str, object]) -> None:
    endpoint = ENDPOINTS[str(example["name"])]
    assert endpoint.path == example["path"]
    assert endpoint.is_private == example["auth"] == (example["method"] == "POST")
    assert endpoint.is_json == (example.get("content_type") == "application/json")


def test_the_higher_of_disputed_costs_is_charged_and_orders_cost_nothing() -> None:
    assert {e.cost for e in ENDPOINTS.values() if e.kind == "history" and "Export" not in e.name} == {4}
    assert {e.cost for e in ENDPOINTS.values() if e.is_order} == {0}
    assert (
        ENDPOINTS["CancelOrder"].priority
        == Priority.ORDER
        < ENDPOINTS["Balance"].priority
        < ENDPOINTS["Ledgers"].priority
    )


def test_answers_are_kept_three_to_five_seconds_and_private_ones_never() -> None:
    assert {e.cache_s for e in ENDPOINTS.values() if e.is_private} == {0.0}
    assert {e.cache_s for e in ENDPOINTS.values() if not e.is_private and e.name != "Time"} == {3.0, 5.0}


def test_an_unlisted_private_endpoint_is_taken_to_act() -> None:
    assert endpoint_of("/0/private/Earn/Allocate").acts
    assert endpoint_of("/0/private/AddOrder") is ENDPOINTS["AddOrder"]
    assert not endpoint_of("/0/public/NewThing").acts
    # a public name under the private prefix is another endpoint
    assert endpoint_of("/0/private/Ticker").acts


@pytest.mark.parametrize(
    "path", ["", "Nothing", "/0/private/", "/0/private/a?b=c", "/0/private/../x", "https://x/0/private/A"]
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        endpoint_of(path)


@pytest.mark.parametrize(
    "name", ["Withdraw", "WithdrawCancel", "withdraw", "WalletTransfer", "AccountTransfer", "Earn/Withdraw"]
)
def test_money_out_is_recognised(name: str) -> None:
    assert moves_money_out(endpoint_of(f"/0/private/{name}"))
