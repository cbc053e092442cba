"""OpenTelemetry reads what Prometheus does."""

from __future__ import annotations

from typing import Any

import pytest

from kraken_fast import Endpoints, UnifiedDataCoordinator
from kraken_fast.coordination.metrics import families
from kraken_fast.coordination.telemetry import observe
from kraken_fast.sim import Exchange

pytest.importorskip("opentelemetry.sdk.metrics")


async def test_a_reader_collects_every_metric_of_the_snapshot() -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("test")
    async with Exchange(["BTC/USD"], seed=5, rate=50) as box:
        where = Endpoints(box.ws_url, box.rest_url)
        async with UnifiedDataCoordinator(symbols=["BTC/USD"], endpoints=where, check_s=0) as coordinator:
            snapshots = 0
            take = coordinator.metrics

            def counted() -> Any:
                nonlocal snapshots
                snapshots += 1
                return take()

            coordinator.metrics = counted  # type: ignore[method-assign]
            observe(coordinator, meter)
            told = reader.get_metrics_data()
            assert told is not None
            assert snapshots <= 3, "one to know the names, one or two for some forty instruments"
            found = {metric.name: metric for metric in told.resource_metrics[0].scope_metrics[0].metrics}
            expected = {f"kraken_fast.{name}" for name, _, _, samples in families(take()) if samples}
            assert set(found) == expected
            states = {
                (point.attributes["line"], point.attributes["state"]): point.value
                for point in found["kraken_fast.line_state"].data.data_points
            }
            assert states["A", "live"] == states["B", "live"] == 1
            assert states["A", "down"] == 0
            (deliveries,) = found["kraken_fast.deliveries"].data.data_points
            assert 0 < deliveries.value <= take().deliveries
