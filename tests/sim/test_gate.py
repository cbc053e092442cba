"""The gate of the private API: who gets in, and with which words the others are refused."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.errors import ConfigError
from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.limits import LOCKOUT_AFTER
from kraken_fast.sim.signing import sign

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "signing-vectors.json").read_text())


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS["vectors"] if v["scheme"].startswith("spot")],
    ids=lambda vector: vector["id"],
)
def test_signatures_are_those_of_the_vectors(vector: Any) -> None:
    signed = sign(vector["secret_b64"], vector["uri_path"], vector["nonce"], vector["body"].encode())
    assert signed == vector["signature"]


def test_a_signed_call_gets_in_as_form_and_as_json(box: Any) -> None:
    for as_json in (False, True):
        answer = json.loads(box.post("Balance", as_json=as_json).body)
        assert answer == {
            "error": [],
            "result": {"ZUSD": "100000.0000", "XXBT": "10.0000000000", "XETH": "100.0000000000"},
        }


def test_a_wrong_key_a_wrong_secret_and_an_altered_body_are_refused(box: Any) -> None:
    key = box.account.keys[0]
    path, body = "/0/private/Balance", b"nonce=1"
    signed = sign(key.secret, path, "1", body)

    def ask(**changed: Any) -> Any:
        call = {"key": key.key, "sign": signed, "path": path, "body": body, **changed}
        headers = {"api-key": call["key"], "API-SIGN": call["sign"]}
        return json.loads(box.core.http("POST", call["path"], "", call["body"], headers).body)

    assert ask(key="SIMKEYnobody") == {"error": ["EAPI:Invalid key"]}
    assert ask(sign="") == {"error": ["EAPI:Invalid signature"]}
    assert ask(sign=signed[:-4] + "AA==") == {"error": ["EAPI:Invalid signature"]}
    assert ask(body=b"nonce=1&x=2") == {"error": ["EAPI:Invalid signature"]}
    assert ask(path="/0/private/BalanceEx") == {"error": ["EAPI:Invalid signature"]}
    assert ask(sign="\u00e4") == {"error": ["EAPI:Invalid signature"]}
    assert ask(body=b"{") == {"error": ["EAPI:Bad request"]}
    assert ask(body=b"\xff\xfe") == {"error": ["EAPI:Bad request"]}
    assert key.nonce == 0, "none of them moved the nonce"
    assert ask()["error"] == []


def test_the_nonce_rises_and_a_window_lets_late_ones_in(box: Any) -> None:
    def ask(nonce: object) -> Any:
        return json.loads(box.post("Balance", nonce=nonce).body)["error"]

    assert ask(1000) == []
    for stale in (1000, 999, 0, -1, "", "x", "1e9", 2**64, "\u0661"):
        assert ask(stale) == ["EAPI:Invalid nonce"], stale
    box.account.keys[0].nonce_window = 10
    assert ask(990) == []
    assert ask(989) == ["EAPI:Invalid nonce"]
    with box.faults.inject("nonce_check", window=0) as fault:
        assert ask(995) == ["EAPI:Invalid nonce"]
        assert fault.fired == 1
    assert ask(2**64 - 1) == []


def test_every_permission_is_asked_for(make_box: Any) -> None:
    box = make_box(accounts=[NewAccount(permissions=())])
    assert box.refusal("Balance") == "EGeneral:Permission denied"
    assert box.refusal("GetWebSocketsToken") == "EGeneral:Permission denied"
    info = box.result("GetApiKeyInfo")
    assert (info["permissions"], info["nonce_window"], info["api_key"]) == ([], "0", box.account.keys[0].key)
    assert info["nonce"] == str(box.nonce)


def test_unknown_methods_and_reading_with_get(box: Any) -> None:
    assert box.refusal("Nothing") == "EGeneral:Unknown method"
    answer = box.core.http("GET", "/0/private/Balance")
    assert json.loads(answer.body) == {"error": ["EGeneral:Unknown method"]}


@pytest.mark.parametrize(
    ("tier", "calls", "decay"), [("starter", 15, 0.33), ("intermediate", 20, 0.5), ("pro", 20, 1.0)]
)
def test_the_call_counter_fills_and_decays_by_tier(
    make_box: Any, tier: Any, calls: int, decay: float
) -> None:
    box = make_box(accounts=[NewAccount(tier=tier)])
    assert [box.ask("Balance")["error"] for _ in range(calls)] == [[]] * calls
    assert box.refusal("Balance") == "EAPI:Rate limit exceeded"
    box.clock.sleep(0.99 / decay)
    assert box.refusal("Balance") == "EAPI:Rate limit exceeded"
    box.clock.sleep(0.02 / decay)
    box.result("Balance")


def test_the_counter_can_be_off_and_a_fault_brings_it_back(make_box: Any) -> None:
    box = make_box(limit_calls=False)
    assert all(box.ask("Balance")["error"] == [] for _ in range(100))
    with box.faults.inject("counter", tier="starter"):
        refused = [box.ask("Balance")["error"] for _ in range(16)]
    assert refused == [[]] * 15 + [["EAPI:Rate limit exceeded"]]


def test_invalid_keys_in_a_row_lock_the_address_out(box: Any) -> None:
    def bad() -> Any:
        return json.loads(box.core.http("POST", "/0/private/Balance", "", b"nonce=1", {}).body)["error"]

    for _ in range(LOCKOUT_AFTER - 1):
        assert bad() == ["EAPI:Invalid key"]
    box.result("Balance")
    for _ in range(LOCKOUT_AFTER):
        assert bad() == ["EAPI:Invalid key"]
    assert bad() == ["EGeneral:Temporary lockout"]
    box.clock.sleep(899)
    assert box.refusal("Balance") == "EGeneral:Temporary lockout", "and it begins anew"
    box.clock.sleep(899)
    assert box.refusal("Balance") == "EGeneral:Temporary lockout"
    box.clock.sleep(900)
    box.result("Balance")


def test_a_lockout_can_be_injected(box: Any) -> None:
    box.faults.inject("lockout", seconds=5)
    assert box.refusal("Balance") == "EGeneral:Temporary lockout"
    assert box.faults.fired["lockout"] == 1
    box.clock.sleep(901)
    box.result("Balance")


def test_maintenance_makes_everything_private_unavailable(box: Any) -> None:
    box.core.set_system_status("maintenance")
    assert box.refusal("Balance") == "EService:Unavailable"


def test_a_token_belongs_to_its_account_for_fifteen_minutes(box: Any) -> None:
    result = box.result("GetWebSocketsToken")
    assert result["expires"] == 900
    token = box.core.private.tokens[result["token"]]
    assert token.account is box.account
    assert token.expires_ns == box.clock.time_ns + 900 * 10**9
    assert result["token"].isalnum()


def test_accounts_are_drawn_from_the_seed_and_secrets_show_nowhere(make_box: Any) -> None:
    one, same, other = make_box(), make_box(), make_box(seed=8)
    key = one.account.keys[0]
    assert key.key.startswith("SIMKEY")
    assert len(key.key) == 56
    assert (key.key, key.secret) == (same.account.keys[0].key, same.account.keys[0].secret)
    assert key.secret != other.account.keys[0].secret
    assert key.secret not in repr(key) + repr(one.account) + repr(NewAccount(api_secret=key.secret))


@pytest.mark.parametrize(
    ("account", "field"),
    [
        (NewAccount(balances={"NOPE": 1}), "balances"),
        (NewAccount(balances={"USD": Decimal("0.00001")}), "balances"),
        (NewAccount(balances={"USD": -1}), "balances"),
        (NewAccount(tier="gold"), "tier"),  # type: ignore[arg-type]
        (NewAccount(api_secret="not base64!"), "api_secret"),
    ],
)
def test_accounts_that_cannot_be_opened_are_refused(make_box: Any, account: NewAccount, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_box(accounts=[account])
    assert caught.value.field == field


def test_two_accounts_do_not_share_a_name(make_box: Any) -> None:
    with pytest.raises(ConfigError):
        make_box(accounts=[NewAccount(), NewAccount()])


def test_a_lagging_query_shows_what_was(box: Any) -> None:
    with box.faults.inject("lag", seconds=60) as fault:
        assert box.result("Balance") == {}, "a minute ago there was no account"
        box.clock.sleep(61)
        assert box.result("Balance")["XXBT"] == "10.0000000000"
        assert fault.fired == 2


def test_nothing_moves_money_out(make_box: Any) -> None:
    box = make_box(accounts=[NewAccount(permissions=["withdraw-funds"])])
    assert box.refusal("Withdraw", asset="XBT", amount="1", key="mine") == "EAPI:Feature disabled"


def test_a_key_with_a_second_password_wants_it_in_every_call(make_box: Any) -> None:
    box = make_box(accounts=[NewAccount(otp="4711")])
    for given in ({}, {"otp": "0"}):
        assert box.refusal("Balance", **given) == "EAuth:Failed:one-time password"
    box.result("Balance", otp="4711")
