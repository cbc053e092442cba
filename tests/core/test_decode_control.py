"""Instruments, the engine's state and answers to requests, as they are told."""

from __future__ import annotations

import corpus
import pytest
from judge import Oracle, Witness, same
from report import note

from kraken_fast.core.decode import Decoder
from kraken_fast.errors import DecodeError
from kraken_fast.sim.reference import loads

CATALOGUE = corpus.catalogue()


def fed(raw: bytes, witness: Witness) -> Decoder:
    decoder = Decoder(handler=witness, create=True)
    assert decoder.feed(raw, strict=True)
    return decoder


def test_the_recorded_instruments_load() -> None:
    witness, raw = Witness(), corpus.instrument_snapshot()
    decoder = fed(raw, witness)
    assert same(witness.events, Oracle().events(loads(raw)))
    note(
        "recorded pairs and assets loaded", f"{len(decoder.instruments)} of 683, {len(decoder.assets)} of 296"
    )
    assert (len(decoder.instruments), len(decoder.assets)) == (683, 296)
    assert witness.snapshots == [("instrument", "")]
    assert decoder.want_book("BTC/USD", 10).price_scale == decoder.instruments["BTC/USD"].price_precision == 1


def test_a_connection_id_beyond_63_bits_is_kept() -> None:
    witness = Witness()
    fed(CATALOGUE["status.online"], witness)
    assert witness.events[0][1]["connection_id"] == 14276803951127740833


@pytest.mark.fault("K24", kind="U")
@pytest.mark.fault("K07", kind="U")
@pytest.mark.parametrize(
    ("raw", "success", "error"),
    [
        (b'{"method":"subscribe","success":false}', False, None),
        (b'{"method":"subscribe","success":false,"error":"no"}', False, "no"),
        (b'{"method":"subscribe","success":false,"error":null,"result":null}', False, None),
        (b'{"error":"Malformed request"}', False, "Malformed request"),
        (b'{"method":"pong"}', True, None),
        (
            b'{"method":"x","result":{"warnings":["w"],"new":{"a":[1.50]}},"success":true,"new":[{}]}',
            True,
            None,
        ),
    ],
)
def test_an_answer_is_told_whatever_it_holds(raw: bytes, success: bool, error: str | None) -> None:
    witness = Witness()
    assert Decoder(handler=witness).feed(raw, strict=True)
    (ack,) = [facts for _, facts in witness.events]
    assert (ack["success"], ack["error"]) == (success, error)
    assert same(ack["result"], loads(raw).get("result")) or ack["method"] == "subscribe"


@pytest.mark.parametrize("number", ["9" * 5000, "1e99999999999999999999", "-1E-99999999999999999999"])
@pytest.mark.parametrize(
    "raw",
    [
        '{"method":"x","result":{"a":NUMBER}}',
        '{"channel":"status","type":"update","data":[{"system":"x","emergency":[NUMBER]}]}',
    ],
)
def test_a_number_that_python_cannot_read_is_refused(raw: str, number: str) -> None:
    decoder = Decoder()
    with pytest.raises(DecodeError, match="beyond what Python reads"):
        decoder.feed(raw.replace("NUMBER", number).encode(), strict=True)


def test_announcements_of_another_shape_are_kept() -> None:
    witness = Witness()
    row = b'{"system":"maintenance","emergency":{"a":1},"upcoming_maintenance":5}'
    raw = b'{"channel":"status","type":"update","data":[' + row + b"]}"
    assert Decoder(handler=witness).feed(raw, strict=True)
    (facts,) = [facts for _, facts in witness.events]
    assert (facts["emergency"], facts["upcoming_maintenance"]) == (({"a": 1},), (5,))
