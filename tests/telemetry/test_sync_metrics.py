"""Figures of rounds as Prometheus scrapes them, and as the SDK of OpenTelemetry collects them."""

from collections.abc import Iterator

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.names import Measurement
from nxcdr_async.telemetry.otel import observe
from nxcdr_async.telemetry.prometheus import Exposition


def measure() -> Iterator[Measurement]:
    yield Measurement(names.SYNC_ROWS, 7, {names.SOURCE: "calls", names.CHANGE: "new"})
    yield Measurement(names.SYNC_ROWS, 2, {names.SOURCE: "did", names.CHANGE: "new"})
    yield Measurement(names.SYNC_LAG, 90.5, {names.SOURCE: "calls"})
    yield Measurement(names.REQUESTS, 3, {})


def test_prometheus_gets_the_names_that_opentelemetry_maps_to() -> None:
    text, content_type = Exposition.of(measure).text("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    rows = families["nxcdr_sync_rows"]
    assert rows.type == "counter"
    assert [(sample.labels["source"], sample.value) for sample in rows.samples] == [("calls", 7), ("did", 2)]
    assert families["nxcdr_sync_lag_seconds"].type == "gauge"
    assert families["nxcdr_requests"].samples[0].name == "nxcdr_requests_total"
    assert "process_cpu_seconds" in families
    assert content_type.startswith("text/plain")


def test_prometheus_gets_openmetrics_if_it_asks() -> None:
    text, content_type = Exposition.of(measure).text("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_what_is_measured_is_asked_for_each_time() -> None:
    figures = [1.0, 2.0]
    exposition = Exposition.of(lambda: [Measurement(names.SYNC_LAG, figures.pop(0), {})])
    assert b"nxcdr_sync_lag_seconds 1.0" in exposition.text("")[0]
    assert b"nxcdr_sync_lag_seconds 2.0" in exposition.text("")[0]


def test_opentelemetry_collects_the_same() -> None:
    reader = InMemoryMetricReader()
    observe(measure, counters=names.SYNC_COUNTERS, gauges=names.SYNC_GAUGES, meter_provider=MeterProvider([reader]))
    told = reader.get_metrics_data()
    assert told is not None
    metrics = {metric.name: metric for metric in told.resource_metrics[0].scope_metrics[0].metrics}
    rows = metrics["nxcdr.sync.rows"].data.data_points
    assert {point.attributes[names.SOURCE]: point.value for point in rows} == {"calls": 7, "did": 2}
    assert [point.value for point in metrics["nxcdr.sync.lag"].data.data_points] == [90.5]
    assert metrics["nxcdr.sync.lag"].unit == "s"
    assert "nxcdr.requests" not in metrics  # each session counts them itself
