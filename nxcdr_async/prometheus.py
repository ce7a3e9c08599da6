"""Metrics for a service of your own that Prometheus scrapes; `nxcdr sync --metrics-port` tells the same by itself.

>>> from prometheus_client import REGISTRY
>>> REGISTRY.register(PushCollector())
"""

from nxcdr_async.errors import ConfigurationError
from nxcdr_async.telemetry.pushes import PUSHES

try:
    from nxcdr_async.telemetry.prometheus import MeasurementCollector
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.startswith("nxcdr_async"):
        raise
    raise ConfigurationError(
        f"metrics for Prometheus need the package {missing.name}: install nxcdr-async with its extra prometheus"
    ) from None

__all__ = ["PushCollector"]


class PushCollector(MeasurementCollector):
    """The counter `nxcdr_pushes_total`: call pushes that came to this process, by `outcome`.

    "taken" were handled, or known already; "refused" were none of the vendor's, or broken; "failed" could not be
    handled, so that the vendor may send them again.
    """

    def __init__(self) -> None:
        super().__init__(PUSHES.measure)
