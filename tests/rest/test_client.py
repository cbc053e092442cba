"""The REST machine in virtual time: what is sent, when, how often, and what is said when it fails."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rest_box import SECOND, Call, World, ok, refusal

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.errors import (
    AuthError,
    CircuitOpenError,
    ClosedError,
    ConfigError,
    ConnectError,
    InvalidOrderError,
    KrakenFastError,
    LockoutError,
    OrderRejectedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ResponseError,
    TlsError,
)
from kraken_fast.rest.client import RestCore
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.http import HttpResponse
from kraken_fast.rest.nonce import FileNonces

ORDER = {
    "pair": "XBTUSD",
    "type": "buy",
    "ordertype": "limit",
    "price": "1.0",
    "volume": "1",
    "cl_ord_id": "kf-5",
}
PAGE = HttpResponse(502, {}, b"<html>502</html>")
PAIR = {"XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"}}
BALANCE = ok({"ZUSD": "1.5"})


async def never(_call: Call) -> HttpResponse:
    await asyncio.sleep(10_000)
    raise AssertionError


# Reads ---------------------------------------------------------------------------------------------------------------


def test_a_call_gives_its_result_with_exact_numbers() -> None:
    world = World(Time=HttpResponse(200, {}, b'{"error":[],"result":{"x":0.1}}'))

    async def main() -> None:
        async with world.client(RestCore, key=False) as client:
            assert await client.call("/0/public/Time") == {"x": Decimal("0.1")}
            assert client.stats().calls == 1
        assert world.port.is_closed
        with pytest.raises(ClosedError):
            await client.call("Time")

    world.run(main())


def test_what_is_under_way_when_the_client_closes_is_not_repeated() -> None:
    world = World(Time=ResponseError("the connection was closed before the answer"))
    world.port.latency_s = 1.0

    async def main() -> None:
        client = world.client(RestCore, key=False)
        reading = asyncio.ensure_future(client.call("Time"))
        await asyncio.sleep(0.5)
        await client.close()
        with pytest.raises(ClosedError):
            await reading
        assert len(world.port.calls) == 1, "another would open connections that nobody closes"

    world.run(main())


@pytest.mark.fault("R03", kind="D")
@pytest.mark.parametrize(
    "failure",
    [
        ResponseError("cut"),
        ConnectError("refused"),
        PAGE,
        HttpResponse(200, {}, b'{"error":['),
        refusal("EService:Busy"),
    ],
)
def test_a_read_is_repeated_once_by_itself(failure: Any) -> None:
    world = World(Balance=[failure, BALANCE])

    async def main() -> None:
        async with world.client(RestCore) as client:
            assert await client.call("Balance") == {"ZUSD": "1.5"}
            assert client.stats().retries == 1
            nonces = [call.nonce for call in world.port.calls]
            assert nonces == sorted(set(nonces))

    world.run(main())


@pytest.mark.parametrize("text", ["EQuery:Unknown asset", "EGeneral:Invalid arguments", "EAPI:Invalid key"])
def test_what_will_fail_again_is_not_repeated(text: str) -> None:
    world = World(Balance=refusal(text))

    async def main() -> None:
        async with world.client(RestCore) as client:
            with pytest.raises(Exception, match=text.split(":")[1]):
                await client.call("Balance")
        assert len(world.port.named("Balance")) == 1

    world.run(main())


@pytest.mark.fault("R04", kind="D")
def test_a_read_ends_within_its_time() -> None:
    world = World(Balance=never)

    async def main() -> None:
        async with world.client(RestCore) as client:
            begin = world.seconds
            with pytest.raises(RequestTimeoutError):
                await client.call("Balance")
            assert world.seconds - begin <= 10.001
        assert len(world.port.named("Balance")) == 1

    world.run(main())


@pytest.mark.fault("S23", kind="D")
@pytest.mark.parametrize("calls_per_s", [0.1, 1, 5, 20])
def test_repeats_are_at_most_three_a_call_and_a_tenth_of_a_minutes_calls(calls_per_s: float) -> None:
    world = World()
    rng = Random(3)
    attempts: list[int] = []

    def flaky(_call: Call) -> HttpResponse:
        if rng.random() < 0.7:
            raise ConnectError("refused")
        return ok({})

    world.port.answers["Time"] = flaky

    async def one(client: RestCore) -> None:
        before = client.stats().retries
        with suppress(ConnectError, CircuitOpenError):
            await client.call("Time")
        attempts.append(client.stats().retries - before)

    async def main() -> None:
        async with world.client(RestCore, key=False, settings=RestSettings(limits=False)) as client:
            made: list[tuple[float, int, int]] = []
            for _ in range(int(240 * calls_per_s)):
                await one(client)
                made.append((world.seconds, client.stats().calls, client.stats().retries))
                await asyncio.sleep(1 / calls_per_s)
            for at, calls, retries in made:
                first = next(row for row in made if row[0] > at - 60)
                within = calls - first[1] + 1
                if within >= 10:
                    assert retries - first[2] <= 0.1 * within + 1
            assert max(attempts) <= 3
            assert sum(attempts) > 0

    world.run(main())


@pytest.mark.fault("L08", kind="D")
def test_when_every_call_fails_repeats_are_few_and_the_breaker_opens() -> None:
    world = World(Time=ConnectError("refused"))

    async def main() -> None:
        async with world.client(RestCore, key=False, settings=RestSettings(limits=False)) as client:
            opened = 0
            for _ in range(1000):
                try:
                    await client.call("Time")
                except CircuitOpenError:
                    opened += 1
                except ConnectError:
                    pass
                await asyncio.sleep(0.05)
            assert opened > 900
            assert len(world.port.calls) <= 1.1 * 1000
            assert client.stats().retries <= 100

    world.run(main())


# Acts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [never, PAGE, ResponseError("reset"), HttpResponse(200, {}, b""), HttpResponse(429, {}, b""),
     refusal("EService:Unavailable"), refusal("EService:Busy"), refusal("EGeneral:Internal error"),
     refusal("EAPI:Invalid nonce")],
)  # fmt: skip
def test_a_lost_answer_leaves_the_outcome_unknown_and_nothing_is_sent_again(failure: Any) -> None:
    world = World(AddOrder=failure)

    async def main() -> None:
        async with world.client(RestCore) as client:
            begin = world.seconds
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.call("AddOrder", ORDER)
            assert world.seconds - begin <= 15.001
            assert caught.value.cl_ord_id == "kf-5"
            await asyncio.sleep(100)
        assert len(world.port.named("AddOrder")) == 1

    world.run(main())


TRANSPORT: dict[str, list[Any]] = {
    "connect_refused_or_dns": [ConnectError("refused")],
    "tls_or_write_failed_before_body_sent": [TlsError("expired"), ResponseError("reset", sent=False)],
    "timeout_or_reset_after_send": [never, ResponseError("reset")],
    "http_2xx_non_json": [HttpResponse(200, {}, b"<html>"), HttpResponse(204, {}, b"")],
    "http_400_404_405_without_envelope": [HttpResponse(status, {}, b"x") for status in (400, 404, 405)],
    "http_401_403": [HttpResponse(status, {}, b"x") for status in (401, 403)],
    "http_408_425": [HttpResponse(status, {}, b"x") for status in (408, 425)],
    "http_429": [HttpResponse(429, {"retry-after": "1"}, b"x")],
    "http_500_502_503_504": [HttpResponse(status, {}, b"x") for status in (500, 502, 503, 504)],
    "http_520_to_527": [HttpResponse(status, {}, b"x") for status in range(520, 528)],
}
"""How each row of the table's transport part comes about."""


@pytest.mark.fault("O03", kind="D")
@pytest.mark.parametrize("row", TRANSPORT)
def test_every_row_of_the_transport_table_proves_no_more_than_it_says(row: str) -> None:
    table = json.loads((Path(__file__).parent.parent / "data" / "errors.json").read_text())["transport"]
    assert set(TRANSPORT) == set(table)
    for failure in TRANSPORT[row]:
        world = World(AddOrder=failure, Balance=failure)

        async def main(world: World = world) -> None:
            async with world.client(RestCore) as client:
                with pytest.raises(KrakenFastError) as caught:
                    await client.call("AddOrder", ORDER)
                is_unknown = table[row]["order_outcome"] == "unknown"
                assert isinstance(caught.value, OutcomeUnknownError) == is_unknown == caught.value.sent
                assert len(world.port.named("AddOrder")) == 1
                with pytest.raises(KrakenFastError) as caught:
                    await client.call("Balance")
                assert caught.value.retryable == (table[row]["class"] in ("retryable", "unknown_outcome", "rate_limit")
                                                  and not isinstance(caught.value, TlsError))  # fmt: skip

        world.run(main())


@pytest.mark.fault("R07", kind="D")
def test_an_order_that_never_left_is_said_to_be_that() -> None:
    world = World(AddOrder=ConnectError("refused"))

    async def main() -> None:
        async with world.client(RestCore) as client:
            with pytest.raises(ConnectError) as caught:
                await client.call("AddOrder", ORDER)
            assert not caught.value.sent
        assert len(world.port.named("AddOrder")) == 1

    world.run(main())


@pytest.mark.fault("O29", kind="D")
@pytest.mark.fault("L03", kind="D")
@pytest.mark.fault("L07", kind="D")
def test_definite_refusals_of_an_order() -> None:
    world = World()

    async def main() -> None:
        async with world.client(RestCore) as client:
            for text, kind, again in (
                ("EOrder:Insufficient funds", OrderRejectedError, False),
                ("EOrder:Orders limit exceeded", OrderRejectedError, False),
                ("EOrder:Rate limit exceeded", RateLimitError, True),
            ):
                world.port.answers["AddOrder"] = refusal(text)
                with pytest.raises(kind) as caught:
                    await client.call("AddOrder", ORDER)
                assert (caught.value.retryable, caught.value.sent) == (again, False)
        assert len(world.port.named("AddOrder")) == 3

    world.run(main())


def test_a_lost_cancel_may_be_repeated_by_the_caller() -> None:
    world = World(CancelOrder=[PAGE, ok({"count": 0})])

    async def main() -> None:
        async with world.client(RestCore) as client:
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.call("CancelOrder", {"txid": "O1"})
            assert caught.value.retryable
            assert await client.call("CancelOrder", {"txid": "O1"}) == {"count": 0}

    world.run(main())


@pytest.mark.fault("R13", kind="D")
def test_an_order_whose_caller_is_cancelled_goes_on_to_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    world = World(AddOrder=[ok({"txid": ["O1"]}), PAGE], Balance=BALANCE)
    world.port.latency_s = 0.2

    async def main() -> None:
        async with world.client(RestCore) as client:
            for _ in range(2):
                order = asyncio.create_task(client.call("AddOrder", ORDER))
                await asyncio.sleep(0.1)
                order.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await order
                await client.call("Balance")  # waits for the order's answer, with the higher nonce
            nonces = [call.nonce for call in world.port.calls]
            assert nonces == sorted(set(nonces))
            gaps = [b.at_ns - a.at_ns for a, b in zip(world.port.calls, world.port.calls[1:], strict=False)]
            assert min(gaps) >= 0.2 * SECOND
        assert "502" in caplog.text

    world.run(main())


@pytest.mark.fault("R13", kind="D")
def test_an_order_whose_caller_is_cancelled_while_it_waits_never_leaves() -> None:
    world = World(AddOrder=ok({"txid": ["O1"]}), Balance=BALANCE)
    world.port.latency_s = 1.0

    async def main() -> None:
        async with world.client(RestCore) as client:
            read = asyncio.create_task(client.call("Balance"))
            await asyncio.sleep(0.1)
            order = asyncio.create_task(client.call("AddOrder", ORDER))  # behind the read
            await asyncio.sleep(0.1)
            order.cancel()
            with pytest.raises(asyncio.CancelledError):
                await order
            await read
            await asyncio.sleep(10)
            assert not world.port.named("AddOrder")
            assert client.stats().waiting == 0
            late = asyncio.create_task(client.call("Balance"))
            await asyncio.sleep(0.1)
            order = asyncio.create_task(client.call("AddOrder", ORDER))
            await asyncio.sleep(0.1)
        with pytest.raises(ClosedError):
            await order  # the client was closed
        await asyncio.gather(late, return_exceptions=True)
        assert not world.port.named("AddOrder")

    world.run(main())


@pytest.mark.fault("O18", kind="D")
@pytest.mark.parametrize("failure", [never, PAGE, ResponseError("reset"), refusal("EService:Busy"), ok({"x": 1})])
def test_a_batch_without_an_answer_names_each_of_its_orders(failure: Any) -> None:
    world = World(AddOrderBatch=failure, CancelOrderBatch=failure, AmendOrder=failure, AssetPairs=ok(PAIR))
    rows = [{"cl_ord_id": "kf-1", "volume": "1"}, {"volume": "1"}, {"cl_ord_id": "kf-3", "volume": "1"}]

    async def main() -> None:
        async with world.client(RestClient, settings=RestSettings(limits=False)) as client:
            with pytest.raises(OutcomeUnknownError, match="kf-1, kf-3") as caught:
                await client.add_orders(symbol="BTC/USD", orders=rows, deadline=None)
            assert caught.value.cl_ord_ids == ("kf-1", None, "kf-3")
            with pytest.raises(OutcomeUnknownError, match="O1, O2") as caught:
                await client.cancel_orders(order_ids=["O1", "O2"], cl_ord_ids=["kf-9"])
            assert (caught.value.order_ids, caught.value.cl_ord_ids) == (("O1", "O2"), ("kf-9",))
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.amend_order(order_id="O7", qty="1", deadline=None)
            assert (caught.value.order_ids, caught.value.cl_ord_ids) == (("O7",), ())
        assert len(world.port.named("AddOrderBatch")) == 1

    world.run(main())


@pytest.mark.fault("R13", kind="D")
def test_a_cancelled_read_gives_everything_back() -> None:
    world = World(Balance=[never, BALANCE])

    async def main() -> None:
        async with world.client(RestCore) as client:
            read = asyncio.create_task(client.call("Balance"))
            queued = asyncio.create_task(client.call("Balance"))
            await asyncio.sleep(1)
            queued.cancel()
            read.cancel()
            await asyncio.gather(read, queued, return_exceptions=True)
            assert await client.call("Balance") == {"ZUSD": "1.5"}
            assert client.stats().waiting == 0
        nonces = [call.nonce for call in world.port.calls]
        assert nonces == sorted(set(nonces))

    world.run(main())


def test_an_order_with_a_float_does_not_leave() -> None:
    world = World(AddOrder=ok({}))

    async def main() -> None:
        async with world.client(RestCore) as client:
            with pytest.raises(InvalidOrderError):
                await client.call("AddOrder", {**ORDER, "price": 0.1 + 0.2})
        assert not world.port.named("AddOrder")

    world.run(main())


def test_money_does_not_leave_unless_told() -> None:
    world = World(Withdraw=ok({}))

    async def main() -> None:
        async with world.client(RestCore) as client:
            for path in ("/0/private/Withdraw", "/0/private/WalletTransfer", "/0/private/AccountTransfer"):
                with pytest.raises(ConfigError, match="allow_money_out"):
                    await client.call(path, {})
            assert not world.port.calls[1:]
            assert await client.call("/0/private/Withdraw", {}, allow_money_out=True) == {}

    world.run(main())


# Keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("A05", kind="D")
@pytest.mark.fault("A12", kind="D")
@pytest.mark.parametrize("text", ["EAPI:Invalid key", "EAPI:Invalid signature", "EAuth:Account unconfirmed"])
def test_a_refused_key_is_not_used_again(text: str) -> None:
    world = World(GetApiKeyInfo=refusal(text), Time=ok({}))

    async def main() -> None:
        client = world.client(RestCore)
        for _ in range(10):
            with pytest.raises(AuthError):
                await client.call("Balance")
        assert len(world.port.calls) == 1
        assert await client.call("Time") == {}  # public calls go on

    world.run(main())


@pytest.mark.fault("A06", kind="D")
def test_a_lockout_is_waited_out_and_survives_a_restart(tmp_path: Path) -> None:
    world = World(Balance=[refusal("EGeneral:Temporary lockout"), BALANCE], Time=ok({}))

    async def main() -> None:
        def client() -> RestCore:
            store = FileNonces(tmp_path, "k")
            return world.client(RestCore, nonces=store, nonce_unit="ns")  # type: ignore[no-any-return]

        first = client()
        with pytest.raises(LockoutError) as caught:
            await first.call("Balance")
        assert caught.value.retry_after_s >= 900
        sent = len(world.port.calls)
        for each in (first, client()):
            for _ in range(5):
                await asyncio.sleep(89)
                with pytest.raises(LockoutError):
                    await each.call("Balance")
                assert len(world.port.named("GetApiKeyInfo")) == 1
                assert await each.call("Time") == {}
        assert len(world.port.calls) == sent + 10
        await asyncio.sleep(20)
        assert await first.call("Balance") == {"ZUSD": "1.5"}

    world.run(main())


@pytest.mark.fault("A04", kind="D")
def test_a_missing_permission_is_told_at_start() -> None:
    world = World()

    async def main() -> None:
        client = world.client(RestCore, needs=["query-funds", "create-ws-token"])
        with pytest.raises(PermissionDeniedError, match="create-ws-token"):
            await client.open()
        with pytest.raises(PermissionDeniedError):
            await client.call("Balance")
        assert len(world.port.calls) == 1

    world.run(main())


def test_a_key_that_may_withdraw_is_refused_unless_allowed(caplog: pytest.LogCaptureFixture) -> None:
    world = World(GetApiKeyInfo=ok({"permissions": ["withdraw-funds", "deposit-funds"]}))

    async def main() -> None:
        with pytest.raises(ConfigError, match="withdrawal"):
            await world.client(RestCore).open()
        await world.client(RestCore, allow_withdraw=True).open()
        assert "deposits" in caplog.text

    world.run(main())


def test_a_key_is_shown_to_kraken_alone() -> None:
    world = World()
    with pytest.raises(ConfigError, match="to be shown a key"):
        world.client(RestCore, endpoints=Endpoints(rest_url="https://api.kraken.com.example.org"))
    box = Endpoints(rest_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="in a box"):
        world.client(RestCore, endpoints=box)
    world.client(RestCore, endpoints=box, settings=RestSettings(hosts=("127.0.0.1",)))
    world.client(RestCore, endpoints=box, credentials=Credentials("SIMKEYabc", "c2VjcmV0"))
    world.client(RestCore, key=False, endpoints=Endpoints(rest_url="https://example.org"))
    with pytest.raises(ConfigError, match="https"):
        Endpoints(rest_url="http://api.kraken.com")


def test_private_calls_need_a_key() -> None:
    world = World()

    async def main() -> None:
        with pytest.raises(ConfigError, match="credentials"):
            await world.client(RestCore, key=False).call("Balance")

    world.run(main())
