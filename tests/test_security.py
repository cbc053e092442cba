"""The canary: a key, its secret, its signatures and a token go through everything, and appear nowhere."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rest_box import ScriptedPort, World, ok, refusal
from rich.console import Console
from rich.traceback import Traceback
from typer.main import get_command
from typer.testing import CliRunner

from kraken_fast.auth import Credentials, Secret
from kraken_fast.cli.app import program
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.errors import ConnectError, KrakenFastError, ResponseError
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.http import HttpRequest, HttpResponse
from kraken_fast.rest.nonce import FileNonces

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


def with_locals(error: BaseException, *, richly: bool = False) -> str:
    """Show an error as the tools do that show local variables; rich takes its time."""
    plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    if not richly:
        return "".join(plain.format())
    rich = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_length=None, locals_max_string=None
    )
    out = io.StringIO()
    Console(file=out, width=4000).print(rich)
    return "".join(plain.format()) + out.getvalue()


@pytest.mark.fault("X01", kind="L")
@pytest.mark.fault("X03", kind="L")
@pytest.mark.parametrize(
    "how",
    [
        b"",
        b"never",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 502 X\r\nContent-Length: 2\r\n\r\n<>",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n<>",
    ],
)
async def test_nothing_secret_is_printed_by_the_http_library_either(
    how: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    watch = Watch()
    received = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received += await reader.read(65_536)
        if how == b"never":
            await asyncio.sleep(5)
        writer.write(how)
        writer.close()

    handler, root = logging.StreamHandler(watch.out), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    try:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            client = RestClient(
                Credentials(KEY, SECRET, otp=lambda: OTP),
                endpoints=Endpoints(rest_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"),
                settings=RestSettings(limits=False, read_s=0.5, order_s=0.5, retries_max=0, hosts=("127.0.0.1",)),
                nonces=FileNonces(tmp_path, "k"),
                nonce_unit="ns",
            )
            client._is_checked = True  # the first call is the one that fails
            for name in ("Balance", "AddOrder"):
                error = await raised_by(client, name)
                assert error is not None
                watch.out.write(with_locals(error, richly=name == "AddOrder"))
                watch.out.write(f"{error!r} {vars(error)!r} {client!r} {asyncio.all_tasks()!r}")
            await client.close()
    finally:
        asyncio.get_running_loop().set_debug(False)
        root.removeHandler(handler)
        root.setLevel(before)
    assert KEY.encode() in received  # it did go out, in a header
    watch.secrets.update(re.findall(r"(?i)api-sign: (\S+)", received.decode("latin-1")))
    watch.out.write("".join(capfd.readouterr()))
    for path in tmp_path.iterdir():
        watch.out.write(path.name + path.read_text())
    watch.check()


@pytest.mark.fault("X01", kind="L")
def test_nothing_secret_is_printed_by_the_command_line_nor_taken_from_its_arguments(tmp_path: Path) -> None:
    watch = Watch()
    url = ["--rest-url", "http://127.0.0.1:9"]
    key_file = tmp_path / "key.toml"
    key_file.write_text(f'api_key = "{KEY}"\napi_secret = "{SECRET}"\n')
    key_file.chmod(0o600)
    broken = tmp_path / "broken.toml"
    broken.write_text(f"api_key = {KEY}\napi_secret = {SECRET}\n")
    broken.chmod(0o600)
    env = {"KRAKEN_API_KEY": KEY, "KRAKEN_API_SECRET": SECRET, "XDG_STATE_HOME": str(tmp_path / "state")}
    swapped = {**env, "KRAKEN_API_KEY": SECRET, "KRAKEN_API_SECRET": KEY + "!"}
    for words, given, is_apart in (
        (["balance", *url], env, False),
        (["balance", *url], swapped, True),
        (["orders", *url, "--key-file", str(key_file)], {}, False),
        (["orders", *url, "--key-file", str(broken)], {}, True),
        (["rest", "AddOrder", "pair=XBTUSD", *url], env, False),
        (["rest", "GetWebSocketsToken", "--rest-url", "https://127.0.0.1:9"], env, False),
        (["doctor", *url, "--ws-url", "ws://127.0.0.1:9"], env, False),
    ):
        if is_apart:
            done = subprocess.run(
                [sys.executable, "-X", "dev", "-m", "kraken_fast", *words],
                capture_output=True, text=True, env={**os.environ, **given}, check=False,
            )  # fmt: skip
            said, status = done.stdout + done.stderr, done.returncode
        else:
            result = CliRunner().invoke(program(), words, env=given)
            said, status = result.output, result.exit_code
        assert status in (1, 2, 3), said
        assert "Traceback" not in said
        watch.out.write(said + "\n" + " ".join(words) + "\n")
    watch.check()
    names = {
        option for command in get_command(program()).commands.values()  # type: ignore[attr-defined]
        for parameter in command.params for option in parameter.opts
    }  # fmt: skip
    assert not [name for name in names if re.search(r"secret|api-key|password|token", name)]


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

            async def main(
                world: World = world, nonces: FileNonces = nonces, richly: bool = failure is FAILURES[-1]
            ) -> None:
                asyncio.get_running_loop().set_debug(True)
                credentials = Credentials(KEY, SECRET, otp=lambda: OTP)
                client = world.client(RestClient, credentials=credentials, nonces=nonces, nonce_unit="ns")
                error = await raised_by(client, name)
                watch.out.write(f"{client!r} {client.stats()!r} {credentials!r} {vars(client)!r}\n")
                watch.out.write(f"{world.port.calls[-1].request!r}\n")
                if error is not None:
                    watch.out.write(with_locals(error, richly=richly))
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
