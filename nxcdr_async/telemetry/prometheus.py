"""Measurements as Prometheus scrapes them, by its own client; the names are those of OpenTelemetry, as it maps them."""

from collections.abc import Callable, Iterable, Iterator

from attrs import define
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.names import Measurement, Metric

Measure = Callable[[], Iterable[Measurement]]

_COUNTERS = {names.REQUESTS, names.RETRIES, names.THROTTLED, names.PUSHES, *names.SYNC_COUNTERS}


@define(eq=False)
class Exposition:
    """What Prometheus gets when it asks: measurements, and what its client knows of the process."""

    registry: CollectorRegistry

    @classmethod
    def of(cls, measure: Measure) -> "Exposition":
        """Return the exposition of what a function measures at each call."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(MeasurementCollector(measure))
        return cls(registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the figures of this moment in a form that the header `Accept` names, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class MeasurementCollector(Collector):
    """Measures whenever Prometheus asks."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure

    def describe(self) -> Iterable[Family]:
        """Tell nothing of what there will be, so that nothing is measured before it is asked for."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield the figures, metric by metric."""
        families: dict[tuple[Metric, tuple[str, ...]], CounterMetricFamily | GaugeMetricFamily] = {}
        for measured in self._measure():
            labels = tuple(measured.attributes)
            family = families.get((measured.metric, labels))
            if family is None:
                family = families[measured.metric, labels] = _family(measured.metric, labels)
            family.add_metric(list(measured.attributes.values()), measured.value)
        yield from families.values()


def _family(metric: Metric, labels: Iterable[str]) -> CounterMetricFamily | GaugeMetricFamily:
    name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
    kind = CounterMetricFamily if metric in _COUNTERS else GaugeMetricFamily
    return kind(name, metric.description, labels=[label.rpartition(".")[2] for label in labels])
