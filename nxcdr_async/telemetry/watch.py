"""What the client and the pagers report of their work: to nobody, or to OpenTelemetry where its API is installed."""

from collections.abc import Callable, Iterable
from datetime import date
from functools import cache, lru_cache
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import NxcdrError
from nxcdr_async.protocol.endpoints import Endpoint
from nxcdr_async.telemetry.log import log_broken_telemetry
from nxcdr_async.telemetry.names import Measurement, Metric
from nxcdr_async.windows import Window

Part: TypeAlias = Window | date | str
"""A range of time, a day, or in words what else there is, such as "of order 'A1'"."""


@lru_cache(maxsize=64)  # a window has many pages
def edges_of(window: Window) -> tuple[str, str]:
    """Return the start and the end of a window as ISO 8601, in UTC."""
    start, end = (moment_at(edge).isoformat() for edge in (window.start, window.end))
    return start, end


class PageWatch(Protocol):
    """A page that is asked for, from the first wait for a slot to the answer; used with `with`."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class AttemptWatch(Protocol):
    """One attempt at a question, from the moment it is sent; used with `with`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def responded(self, status: int) -> None:
        """Report that the response is there to its last byte, and its HTTP status."""

    def answered(self, rows: int) -> None:
        """Report that the response is a success, and how many rows it has."""


class Telemetry(Protocol):
    """Where it is reported what a session does."""

    def page(self, endpoint: Endpoint[Any], part: Part, number: int | None) -> PageWatch:
        """Watch a page that is asked for.

        Args:
            endpoint: the API.
            part: which part of its records it is of.
            number: its number; None where there are no pages.
        """

    def attempt(self, endpoint: Endpoint[Any], gateway: str, *, number: int, waited: float) -> AttemptWatch:
        """Watch an attempt.

        Args:
            endpoint: the API.
            gateway: base URL of where it is asked.
            number: 1 for the first attempt at the question.
            waited: seconds it waited for its slot, and for the gateway's clock to be measured.
        """

    def retried(self, endpoint: Endpoint[Any], gateway: str, fault: NxcdrError) -> None:
        """Report that a question will be asked again, and why."""

    def measured(self, gateway: str, *, limit: int, skew: float | None) -> None:
        """Report what is known of a gateway by now.

        Args:
            gateway: its base URL.
            limit: requests that may be in flight there.
            skew: seconds its clock is ahead of ours; None while it is unknown.
        """


class Silence:
    """Reports nothing."""

    def page(self, _endpoint: Endpoint[Any], _part: Part, _number: int | None) -> Self:
        """Watch no page."""
        return self

    def attempt(self, _endpoint: Endpoint[Any], _gateway: str, *, number: int, waited: float) -> Self:  # noqa: ARG002 - the protocol has them
        """Watch no attempt."""
        return self

    def retried(self, _endpoint: Endpoint[Any], _gateway: str, _fault: NxcdrError) -> None:
        """Report nothing."""

    def measured(self, _gateway: str, *, limit: int, skew: float | None) -> None:
        """Report nothing."""

    def responded(self, _status: int) -> None:
        """Report nothing."""

    def answered(self, _rows: int) -> None:
        """Report nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Report nothing."""


SILENCE = Silence()
"""What there is without OpenTelemetry."""


def telemetry_for(region: str) -> Telemetry:
    """Return where it is reported what a session does: to OpenTelemetry where its API is installed.

    An API that is broken, too old or wrongly configured costs the telemetry, and never the session; the log says so.

    Args:
        region: the name of the session's region, "custom" for a gateway given by hand.
    """
    try:
        if not _is_installed():
            return SILENCE
        from nxcdr_async.telemetry.otel import OtelTelemetry  # noqa: PLC0415 - whoever has no session is spared it

        return OtelTelemetry(region)
    except Exception as error:  # noqa: BLE001 - whatever it is, calls can be read without it
        log_broken_telemetry(error)
        return SILENCE


def observe(
    measure: Callable[[], Iterable[Measurement]], *, counters: Iterable[Metric] = (), gauges: Iterable[Metric] = ()
) -> None:
    """Have OpenTelemetry measure something, where its API is installed; what fails there costs the metrics only.

    Args:
        measure: returns the figures of the moment.
        counters: those of the metrics that only grow.
        gauges: those that do not.
    """
    try:
        if _is_installed():
            from nxcdr_async.telemetry import otel  # noqa: PLC0415 - as above

            otel.observe(measure, counters=counters, gauges=gauges)
    except Exception as error:  # noqa: BLE001 - as above
        log_broken_telemetry(error)


@cache
def _is_installed() -> bool:
    # Other packages put modules of their own below `opentelemetry`.
    return find_spec("opentelemetry") is not None and find_spec("opentelemetry.trace") is not None
