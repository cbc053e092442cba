"""A coordinator's metrics for OpenTelemetry: the same figures as for Prometheus, read when a reader collects.

    observe(coordinator, metrics.get_meter("bot"))       # from opentelemetry import metrics

Every metric is an asynchronous instrument of the meter that is given: the SDK, its exporter and its pace are the
user's. One snapshot serves all instruments of a collection. Needs nothing but `opentelemetry-api`, which whoever has a
meter has already; it is no extra of ours.

The SDK may collect in a thread of its own. A snapshot only reads counters, and what it tells may then be of two moments
some microseconds apart; nothing is changed by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.clock import SystemClock
from .metrics import Measured, Sample, families

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

SAME_NS = 100_000_000
"""Instruments that are read within so long belong to one collection."""


class _Collection:
    """The last snapshot, by metric."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._clock = SystemClock()
        self._taken_ns: int | None = None
        self._samples: dict[str, list[Sample]] = {}

    def samples(self, name: str) -> list[Sample]:
        """Give the samples of one metric, from a snapshot of just now."""
        now_ns = self._clock.monotonic_ns
        if self._taken_ns is None or now_ns - self._taken_ns > SAME_NS:
            self._samples = {name: samples for name, _, _, samples in families(self._measured.metrics())}
            self._taken_ns = now_ns
        return self._samples.get(name, [])


def observe(measured: Measured, meter: Meter) -> None:
    """Have a meter observe a coordinator from now on.

    Args:
        measured: a coordinator.
        meter: of OpenTelemetry's API; instruments are named `kraken_fast.` and as for Prometheus.

    Raises:
        ImportError: `opentelemetry-api` is not installed.
    """
    from opentelemetry.metrics import CallbackOptions, Observation  # noqa: PLC0415 - the user's, see above

    collection = _Collection(measured)

    def read(name: str, _options: CallbackOptions) -> Iterable[Any]:
        return [Observation(value, labels) for labels, value in collection.samples(name)]

    for name, kind, meaning, _ in families(measured.metrics()):
        make = meter.create_observable_gauge if kind == "gauge" else meter.create_observable_counter
        make(f"kraken_fast.{name}", callbacks=[partial(read, name)], description=meaning)
