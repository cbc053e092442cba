"""Credentials: signatures, sources, and what is never shown."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import os
import pickle
import random
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import keyring
import pytest
from keyring.backend import KeyringBackend
from rest_box import KEY, SECRET

from kraken_fast.auth import Credentials, Secret, futures_challenge, futures_signature, spot_signature
from kraken_fast.errors import ConfigError

VECTORS = json.loads((Path(__file__).parent / "data" / "signing-vectors.json").read_text())


def sign(vector: dict[str, Any]) -> str:
    secret = Secret(base64.b64decode(vector["secret_b64"]))
    match vector["scheme"]:
        case "spot_rest" | "spot_funding_v1_v2":
            return spot_signature(secret, vector["uri_path"], vector["nonce"], vector["body"].encode())
        case "futures_rest":
            return futures_signature(secret, vector["endpoint_path"], vector["nonce"], vector["post_data"])
        case "futures_ws_challenge":
            return futures_challenge(secret, vector["challenge"])
    raise AssertionError(vector["scheme"])


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["id"])
def test_every_vector_is_signed_as_published(vector: dict[str, Any]) -> None:
    assert sign(vector) == vector["signature"]


def test_there_are_seventeen_vectors_and_five_wrong_ones() -> None:
    assert len(VECTORS["vectors"]) == 17
    assert len(VECTORS["wrong_on_purpose"]) == 5


@pytest.mark.parametrize("wrong", VECTORS["wrong_on_purpose"], ids=lambda wrong: wrong["bug"])
def test_typical_mistakes_give_another_signature(wrong: dict[str, str]) -> None:
    assert sign(VECTORS["vectors"][0]) != wrong["signature"]


def test_ten_thousand_random_requests_agree_with_a_second_implementation() -> None:
    rng = random.Random(5)
    key = rng.randbytes(64)
    secret = Secret(key)
    for _ in range(10_000):
        nonce = str(rng.randrange(2**64))
        fields = {
            rng.choice("abcdé€") * rng.randrange(1, 4): rng.choice(["", "+5%", "ü,", "[x]"]) for _ in range(3)
        }
        body = (urlencode(fields) if rng.random() < 0.5 else json.dumps(fields, ensure_ascii=False)).encode()
        inner = hashlib.new("sha256")
        inner.update(nonce.encode())
        inner.update(body)
        outer = hmac.new(key, b"/0/private/X", hashlib.sha512)
        outer.update(inner.digest())
        assert (
            spot_signature(secret, "/0/private/X", nonce, body) == base64.b64encode(outer.digest()).decode()
        )


def test_a_secret_shows_nowhere_and_goes_nowhere() -> None:
    secret = Secret("hush-hush")
    assert "hush" not in f"{secret} {secret!r} {secret!s} {[secret]} {secret:>20}"
    assert not hasattr(secret, "__dict__")
    assert secret == Secret("hush-hush")
    assert secret != Secret("hush")
    assert secret != "hush-hush"
    for spread in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            spread(secret)  # type: ignore[operator]
    secret.wipe()
    assert len(secret) == 0


def test_credentials_show_nothing() -> None:
    credentials = Credentials(KEY, SECRET)
    assert repr(credentials) == "Credentials(key=***, secret=***)"
    assert KEY not in credentials.key_id
    with pytest.raises(TypeError):
        pickle.dumps(credentials)
    credentials.wipe()
    assert len(credentials.api_key) == 0


@pytest.mark.fault("C03", kind="U")
@pytest.mark.parametrize("secret", ["", "not base64!", f"{SECRET}\n", " " + SECRET, "====", KEY + "?"])
def test_a_wrong_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Credentials(KEY, secret)
    assert "***" in str(caught.value)
    if secret:
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours = "".join(shown.format()).split("in __init__", 1)[1]
        assert secret not in ours


@pytest.mark.fault("C10", kind="U")
def test_the_environment_is_read_whole_or_refused() -> None:
    both = {"KRAKEN_API_KEY": KEY, "KRAKEN_API_SECRET": SECRET}
    assert Credentials.from_env(both).key_id == Credentials(KEY, SECRET).key_id
    for name in both:
        with pytest.raises(ConfigError, match=name):
            Credentials.from_env({other: both[other] for other in both if other != name})
        with pytest.raises(ConfigError, match=name):
            Credentials.find(env={other: both[other] for other in both if other != name})
    assert Credentials.find(env={}) is None


@pytest.mark.fault("C04", kind="U")
def test_a_key_file_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.toml"
    path.write_text(f'api_key = "{KEY}"\napi_secret = "{SECRET}"\n')
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Credentials.from_file(path)
    assert Credentials.from_file(path, allow_readable_by_others=True)
    path.chmod(0o600)
    assert (
        Credentials.find(key_file=path, env={"KRAKEN_API_KEY": "x"}).key_id == Credentials(KEY, SECRET).key_id
    )  # type: ignore[union-attr]
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    for bad in (link, tmp_path, tmp_path / "nothing"):
        with pytest.raises(ConfigError):
            Credentials.from_file(bad)


@pytest.mark.parametrize(
    "text", ["", f'api_key = "{KEY}"', f"api_secret = {SECRET}", "api_key = 1\napi_secret = 2"]
)
def test_a_key_file_that_says_something_else_is_refused_without_being_shown(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "key.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        Credentials.from_file(path)
    assert caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_keyring_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"kraken_fast\[keyring\]"):
        Credentials.from_keyring()


class Store(KeyringBackend):
    """A keyring in memory, behind the real library."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.held[service, username]


def test_a_key_comes_out_of_the_systems_keyring() -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(Store())
    try:
        for name, secret in (("default", SECRET), ("second", base64.b64encode(b"other").decode())):
            keyring.set_password("kraken_fast", f"{name}:key", KEY)
            keyring.set_password("kraken_fast", f"{name}:secret", secret)
        first = Credentials.find(env={}, keyring_name="default")
        assert first is not None
        expected = Credentials(KEY, SECRET).sign("/0/private/Balance", "1", b"nonce=1")
        assert first.sign("/0/private/Balance", "1", b"nonce=1") == expected
        other = Credentials.from_keyring("second")
        assert other.sign("/0/private/Balance", "1", b"nonce=1") != expected
        with pytest.raises(ConfigError, match="stored under the service kraken_fast"):
            Credentials.from_keyring("third")
        keyring.delete_password("kraken_fast", "second:secret")
        with pytest.raises(ConfigError):
            Credentials.from_keyring("second")
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize("backend", ["null", "fail"])
def test_a_machine_without_a_keyring_is_told_in_one_line(backend: str, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHON_KEYRING_BACKEND": f"keyring.backends.{backend}.Keyring", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "kraken_fast", "balance", "--keyring", "default"],
        capture_output=True, text=True, env=env, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("kraken-fast: keyring='default': must be ")
    assert "Traceback" not in done.stderr


def test_a_traceback_with_locals_shows_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"KRAKEN_API_KEY": KEY, "KRAKEN_API_SECRET": "CANARY not base64"})
    with pytest.raises(ConfigError) as caught:
        Credentials.from_env()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "CANARY" not in "".join(shown.format())
