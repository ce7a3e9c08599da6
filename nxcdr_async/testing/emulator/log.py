"""What an emulator saw: counters and the latest requests, without any secret."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

_KEPT_REQUESTS = 2_000
_SECRETS = {"appkey", "secretkey", "appsecret"}


@define
class SeenRequest:
    """One request as the emulator saw it.

    Attributes:
        endpoint: "calls", "order", "did", "flash", "flash_call", or the path of anything else.
        parameters: what was asked for, without secrets.
        ts: the `ts` header, epoch milliseconds; None when absent.
        received: when it arrived, epoch seconds by the emulator's clock.
        status: HTTP status replied; None while under way, or when nothing was replied.
        code: result code replied, as a number; None when the reply had none.
        fault: the fault injected on purpose, if any.
    """

    endpoint: str
    ts: int | None
    received: float
    parameters: dict[str, Any] = field(factory=dict)
    status: int | None = None
    code: int | None = None
    fault: str | None = None


@define
class GatewayLog:
    """Counters of what an emulator saw since its start or the last `clear`, and its latest requests.

    Attributes:
        requests: requests seen.
        by_endpoint: requests by endpoint.
        refused: replies that refused, by result code, or by HTTP status where there was one of 300 and above.
        faults: faults injected on purpose, by kind.
        in_flight: requests being answered now.
        peak_in_flight: the most requests ever answered at once.
        recent: the latest 2,000 requests, oldest first.
    """

    requests: int = 0
    by_endpoint: Counter[str] = field(factory=Counter)
    refused: Counter[int] = field(factory=Counter)
    faults: Counter[str] = field(factory=Counter)
    in_flight: int = 0
    peak_in_flight: int = 0
    recent: deque[SeenRequest] = field(factory=lambda: deque(maxlen=_KEPT_REQUESTS), repr=False)

    def clear(self) -> None:
        """Forget everything but the requests in flight."""
        self.requests, self.peak_in_flight = 0, self.in_flight
        for counter in (self.by_endpoint, self.refused, self.faults, self.recent):
            counter.clear()

    @contextmanager
    def request(self, seen: SeenRequest) -> Iterator[None]:
        """Count one request from its arrival until its reply is decided or its client has gone."""
        self.requests += 1
        self.by_endpoint[seen.endpoint] += 1
        self.recent.append(seen)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
            self._count_reply(seen)

    def _count_reply(self, seen: SeenRequest) -> None:
        if seen.fault:
            self.faults[seen.fault] += 1
        if seen.status is not None and seen.status >= 300:  # noqa: PLR2004 - HTTP's own border
            self.refused[seen.status] += 1
        elif seen.code:
            self.refused[seen.code] += 1


def without_secrets(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters that may be kept and shown."""
    return {key: value for key, value in parameters.items() if key not in _SECRETS}
