"""The canary: a key, its secret, its signatures and a token go through everything, and appear nowhere."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rest_box import ScriptedPort, World, ok, refusal

from kraken_fast.auth import Credentials, Secret
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.endpoints import RestClient
from kraken_fast.errors import ConnectError, KrakenFastError, ResponseError
from kraken_fast.http import HttpRequest, HttpResponse
from kraken_fast.nonce import FileNonces

KEY = "CANARY+key/7Qz" * 3
RAW_SECRET = b"CANARY-secret-bytes-\xff\xfe-of-nobody"
SECRET = base64.b64encode(RAW_SECRET).decode()
TOKEN = "CANARYtokenZk3" * 2
OTP = "canary-otp-918273"

FAILURES: list[Any] = [
    ConnectError("refused"),
    ResponseError("reset"),
    HttpResponse(502, {}, b"<html>bad gateway</html>"),
    HttpResponse(429, {"retry-after": "1"}, b""),
    HttpResponse(200, {}, b"{"),
    ok({"token": TOKEN}),  # lacks a member
    ok([TOKEN]),
    ok({"token": TOKEN, "expires": "x"}),
    *(
        refusal(text)
        for text in (
            "EAPI:Invalid nonce",
            "EAPI:Invalid signature",
            "EGeneral:Permission denied",
            "EGeneral:Temporary lockout",
            "EAPI:Rate limit exceeded",
            "EService:Unavailable",
            "EOrder:Insufficient funds",
        )
    ),
]


def shapes(secret: str | bytes) -> Iterator[bytes]:
    raw = secret if isinstance(secret, bytes) else secret.encode()
    yield raw
    yield raw[::-1]
    yield base64.b64encode(raw).rstrip(b"=")
    yield raw.hex().encode()
    yield quote(raw, safe="").encode()
    yield json.dumps(raw.decode("latin-1"))[1:-1].encode()
    yield repr(raw)[2:-1].encode()


class Watch:
    """All that was printed, and all that must not have been."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.secrets: set[str | bytes] = {KEY, SECRET, RAW_SECRET, TOKEN, OTP}

    def check(self) -> None:
        text = self.out.getvalue().encode("utf-8", "backslashreplace")
        assert len(text) > 1000
        for secret in self.secrets:
            for shape in shapes(secret):
                at = text.find(shape)
                assert at < 0, text[max(0, at - 300) : at + 60].decode()


class Recording(ScriptedPort):
    """Notes the signatures that were sent."""

    watch: Watch

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        self.watch.secrets.add(request.headers.get("API-Sign", KEY))
        return await super().fetch(request)


async def raised_by(client: RestClient, name: str) -> BaseException | None:
    call = {
        "GetWebSocketsToken": client.fetch_websockets_token,
        "Balance": client.fetch_balances,
        "AddOrder": lambda: client.call("AddOrder", {"cl_ord_id": "kf-1"}),
        "CancelOrder": lambda: client.cancel_order(order_id="O1"),
    }[name]
    try:
        await call()
    except KrakenFastError as error:
        return error
    return None


@pytest.mark.fault("X01", kind="U")
@pytest.mark.fault("X03", kind="U")
@pytest.mark.fault("X10", kind="U")
@pytest.mark.parametrize("name", ["GetWebSocketsToken", "Balance", "AddOrder", "CancelOrder"])
def test_nothing_secret_is_printed_whatever_fails(name: str, tmp_path: Path) -> None:
    watch = Watch()
    handler = logging.StreamHandler(watch.out)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        for failure in FAILURES:
            world = World(**{name: failure})
            world.port = Recording(world.clock, {name: failure})
            world.port.watch = watch
            nonces = FileNonces(tmp_path, "k")

            async def main(world: World = world, nonces: FileNonces = nonces) -> None:
                asyncio.get_running_loop().set_debug(True)
                credentials = Credentials(KEY, SECRET, otp=lambda: OTP)
                client = world.client(RestClient, credentials=credentials, nonces=nonces, nonce_unit="ns")
                error = await raised_by(client, name)
                watch.out.write(f"{client!r} {client.stats()!r} {credentials!r} {vars(client)!r}\n")
                watch.out.write(f"{world.port.calls[-1].request!r}\n")
                if error is not None:
                    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
                    watch.out.write("".join(shown.format()))
                    watch.out.write(f"{error!r} {vars(error)!r}")
                    assert error.__cause__ is None or isinstance(error.__cause__, Exception)
                await client.close()

            world.run(main())
            nonces.path.unlink()
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    watch.check()


@pytest.mark.fault("X51", kind="U")
def test_no_secret_is_reachable_from_a_record() -> None:
    world = World(GetWebSocketsToken=ok({"token": TOKEN, "expires": 900}), Balance=ok({"ZUSD": "1"}))
    found: list[Any] = []

    async def main() -> None:
        async with world.client(RestClient, credentials=Credentials(KEY, SECRET)) as client:
            found.append((await client.fetch_balances())[0])
            found.append(client.stats())

    world.run(main())
    for start in found:
        seen: set[int] = set()
        todo = [start]
        while todo and len(seen) < 5000:
            each = todo.pop()
            assert not isinstance(each, (Secret, Credentials))
            if id(each) not in seen and not isinstance(each, type):
                seen.add(id(each))
                todo += [other for other in gc.get_referents(each) if not isinstance(other, type)]


@pytest.mark.fault("X02", kind="U")
def test_credentials_and_tokens_cannot_be_pickled() -> None:
    for value in (Credentials(KEY, SECRET), Secret(TOKEN)):
        with pytest.raises(TypeError):
            pickle.dumps(value)


@pytest.mark.fault("X06", kind="U")
def test_what_is_written_to_disk_holds_no_secret_and_is_ours_alone(tmp_path: Path) -> None:
    who = Credentials(KEY, SECRET)
    world = World(Balance=ok({}))

    async def main() -> None:
        nonces = FileNonces(tmp_path / "state", who.key_id)
        async with world.client(RestClient, credentials=who, nonces=nonces, nonce_unit="ns") as client:
            await client.fetch_balances()

    world.run(main())
    (path,) = (tmp_path / "state").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    text = path.name.encode() + path.read_bytes()
    assert not any(shape in text for secret in (KEY, SECRET) for shape in shapes(secret))


@pytest.mark.fault("X09", kind="U")
def test_no_method_moves_money_out() -> None:
    words = ("withdraw", "transfer", "deposit", "wallet")
    assert not [name for name in dir(RestClient) if any(word in name.lower() for word in words)]


@pytest.mark.fault("X13", kind="U")
@pytest.mark.fault("X14", kind="U")
@pytest.mark.fault("C05", kind="U")
def test_there_is_no_way_to_leave_tls_out() -> None:
    names = [*RestSettings.__dataclass_fields__, *Endpoints.__dataclass_fields__]
    assert not [name for name in names if "verify" in name or "insecure" in name]
    for url in ("http://api.kraken.com", "ftp://api.kraken.com", "http://127.0.0.1.example.org"):
        with pytest.raises(KrakenFastError):
            Endpoints(rest_url=url)
